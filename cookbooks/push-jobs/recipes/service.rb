# The service of the agent.
PushJobs::Cookbook::Validation.check!(node)

push_jobs_service PushJobs::Cookbook::Units::SESSION do
  manager PushJobs::Cookbook::Recipe.manager(node)
  client_key node['push_jobs']['chef']['client_key_path']
  environment node['push_jobs']['environment_variables'].to_h
  log_dir node['push_jobs']['logging_dir']
end

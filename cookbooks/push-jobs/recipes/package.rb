# The package of the agent.
PushJobs::Cookbook::Validation.check!(node)

find_resource(:push_jobs_service, PushJobs::Cookbook::Units::SESSION) { action :nothing }

push_jobs_install 'push-jobs-agent' do
  package_url Array(node['push_jobs']['package_url'])
  package_checksum Array(node['push_jobs']['package_checksum'])
  local_package_path Array(node['push_jobs']['local_package_path'])
  version node['push_jobs']['package_version']
  # Under systemd the package itself restarts what runs: the session now, the runner when no job runs.
  notifies :restart, "push_jobs_service[#{PushJobs::Cookbook::Units::SESSION}]" if PushJobs::Cookbook::Recipe.manager(node) == :sysv
end

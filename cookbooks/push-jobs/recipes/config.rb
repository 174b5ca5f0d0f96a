# Whitelist and settings of the agent.
PushJobs::Cookbook::Validation.check!(node)

serf = node['push_jobs']['serf']
over_serf = PushJobs::Cookbook::Serf.agent?(node)
include_recipe 'push-jobs::serf' if over_serf

find_resource(:push_jobs_service, PushJobs::Cookbook::Units::SESSION) { action :nothing }

push_jobs_whitelist node['push_jobs']['whitelist_path'] do
  entries node['push_jobs']['whitelist'].to_h
  notifies :reload, "push_jobs_service[#{PushJobs::Cookbook::Units::SESSION}]"
end

file PushJobs::Cookbook::Serf::KEY_FILE do
  content "#{serf['sign_pub_key'].strip}\n"
  owner 'root'
  group 'root'
  mode '0644'
  notifies :reload, "push_jobs_service[#{PushJobs::Cookbook::Units::SESSION}]"
end if over_serf && PushJobs::Cookbook::Serf.pem?(serf['sign_pub_key'])

push_jobs_config '/etc/chef/push-jobs-client.yml' do
  chef_server_url node['push_jobs']['chef']['chef_server_url']
  node_name node['push_jobs']['chef']['node_name']
  client_key node['push_jobs']['chef']['client_key_path']
  trusted_certs_dir node['push_jobs']['chef']['trusted_certs_path']
  ca_file node['push_jobs']['chef']['ca_file']
  http_proxy PushJobs::Cookbook::Identity.proxy('http', node['push_jobs']['proxy']['http'].to_h)
  https_proxy PushJobs::Cookbook::Identity.proxy('https', node['push_jobs']['proxy']['https'].to_h)
  no_proxy PushJobs::Cookbook::Identity.no_proxy(node['push_jobs']['no_proxy'])
  whitelist_path node['push_jobs']['whitelist_path']
  start_runner PushJobs::Cookbook::Recipe.manager(node) == :sysv
  log_level node['push_jobs']['logging_level'].to_s
  log_dir node['push_jobs']['logging_dir']
  log_size node['push_jobs']['log_rotation']['file_maxbytes']
  log_keep node['push_jobs']['log_rotation']['num_to_keep']
  allow_unencrypted node['push_jobs']['allow_unencrypted']
  if over_serf
    pushy serf['pushy']
    shovey_url serf['url']
    serf_addr serf['rpc_address']
    serf_auth_key serf['rpc_auth_key']
    sign_pub_key PushJobs::Cookbook::Serf.key_path(serf['sign_pub_key'])
    time_slew serf['time_slew']
  end
  settings PushJobs::Cookbook::Recipe.settings(node)
  notifies :restart, "push_jobs_service[#{PushJobs::Cookbook::Units::SESSION}]"
end

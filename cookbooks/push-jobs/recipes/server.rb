# The server, on the machine that is to be it.
PushJobs::Cookbook::Validation.check_server!(node)

server = node['push_jobs']['server']
include_recipe 'push-jobs::serf' if server['serf']

push_jobs_install 'push-jobs-server' do
  part :server
  package_url Array(server['package_url'])
  package_checksum Array(server['package_checksum'])
  local_package_path Array(server['local_package_path'])
  version server['package_version']
end

push_jobs_server 'push-jobs-server' do
  org server['org']
  admin server['admin']
  admin_key server['admin_key_path']
  hosts server['hosts'].to_a unless server['hosts'].nil?
  settings server['settings'].to_h
  serf PushJobs::Cookbook::Serf.for_server(node['push_jobs']['serf'].to_h) if server['serf']
  organizations server['organizations'].to_a
  users server['users'].to_h
  clients server['clients'].to_h
  groups server['groups'].to_h
end

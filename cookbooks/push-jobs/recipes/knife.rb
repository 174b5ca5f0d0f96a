# What an operator needs: the command push-jobs, and the plugin for knife.
workstation = node['push_jobs']['workstation']

push_jobs_install 'push-jobs' do
  part :workstation
  package_url Array(workstation['package_url'])
  package_checksum Array(workstation['package_checksum'])
  local_package_path Array(workstation['local_package_path'])
  version workstation['package_version']
end

chef_gem 'knife-push' do
  version workstation['knife_push_version']
  compile_time false
end unless workstation['knife_push_version'].nil?

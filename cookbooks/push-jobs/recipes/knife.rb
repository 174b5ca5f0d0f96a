# What an operator needs: the command push-jobs, and the plugin for knife.
workstation = node['push_jobs']['workstation']

push_jobs_install 'push-jobs' do
  part :workstation
  package_url workstation['package_url'] unless workstation['package_url'].nil?
  package_checksum workstation['package_checksum'] unless workstation['package_checksum'].nil?
  local_package_path workstation['local_package_path'] unless workstation['local_package_path'].nil?
  version workstation['package_version']
end

chef_gem 'knife-push' do
  version workstation['knife_push_version']
  compile_time false
end unless workstation['knife_push_version'].nil?

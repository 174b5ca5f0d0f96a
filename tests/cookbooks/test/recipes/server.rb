# A server by its recipe, and an agent on the same node that finds it.
public_key = '/etc/chef/client.pub'
execute "openssl rsa -in /etc/chef/client.pem -pubout -out #{public_key}" do
  creates public_key
end

node.default['push_jobs']['server']['clients'] = { node['push_jobs']['chef']['node_name'] => { 'public_key' => public_key } }
include_recipe 'push-jobs::server'
include_recipe 'push-jobs::knife'

file '/etc/chef/trusted_certs/own.crt' do
  content(lazy { ::File.read('/var/lib/push-jobs-server/ca.crt') })
end

include_recipe 'push-jobs'

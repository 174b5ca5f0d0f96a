# A node that takes jobs over Serf alone. Its administrator was told the server's public key as a text.
node.default['push_jobs']['serf']['sign_pub_key'] = ::File.read('/etc/chef/serf.pub')
# Serf itself may be restarted by a job over Serf.
converge = 'cd /tmp/kitchen && /opt/chef/bin/chef-client --local-mode --config client.rb --json-attributes again.json --chef-zero-port 8889 --no-color'
node.default['push_jobs']['whitelist']['converge'] = ['sh', '-c', converge]
include_recipe 'push-jobs'

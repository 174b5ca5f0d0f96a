# The agent may run the very Chef client that installs a later version of the agent.
converge = 'cd /tmp/kitchen && /opt/chef/bin/chef-client --local-mode --config client.rb --json-attributes again.json --chef-zero-port 8889 --no-color'
node.default['push_jobs']['whitelist'] = { 'converge' => ['sh', '-c', converge], 'true' => 'true' }
include_recipe 'push-jobs'

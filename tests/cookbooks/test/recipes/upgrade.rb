node.default['push_jobs']['whitelist'] = { 'slow' => ['sh', '-c', 'for i in $(seq 8); do echo $i; sleep 1; done'], 'true' => 'true' }
include_recipe 'push-jobs'

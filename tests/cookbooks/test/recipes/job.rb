# Entries for everything that a job can be asked to do.
node.default['push_jobs']['whitelist'] = {
  'true' => 'true',
  'false' => ['sh', '-c', 'echo gone wrong >&2; exit 3'],
  'sleep' => 'sleep 60',
  'who' => 'id -un',
  'where' => 'pwd',
  'say' => ['sh', '-c', 'echo "$GREETING"'],
  'file' => ['sh', '-c', 'cat "$CHEF_PUSH_JOB_FILE"'],
  '/restart ([a-z]+)/' => 'echo restart \\1',
}
node.default['push_jobs']['allowed_users'] = ['nobody']
node.default['push_jobs']['whitelist']['only-here'] = 'true' if node['push_jobs']['chef']['node_name'] == 'job'
include_recipe 'push-jobs'

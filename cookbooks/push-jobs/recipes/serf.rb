# The Serf agent of this machine: of a node that takes jobs over Serf, or of a server that sends them.
PushJobs::Cookbook::Validation.check_serf!(node)

serf = node['push_jobs']['serf']

push_jobs_serf PushJobs::Cookbook::Serf::SETTINGS do
  node_name node['push_jobs']['chef']['node_name']
  rpc_address serf['rpc_address']
  rpc_auth_key serf['rpc_auth_key']
  bind serf['bind']
  join serf['join'].to_a
  encrypt_key serf['encrypt_key']
  query_size_limit serf['query_size_limit']
  settings serf['settings'].to_h
end if serf['install']

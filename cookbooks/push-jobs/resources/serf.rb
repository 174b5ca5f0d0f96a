unified_mode true

provides :push_jobs_serf
resource_name :push_jobs_serf
description 'Installs, configures and runs the Serf agent of a machine, for jobs over Serf.'

property :path, String,
         name_property: true,
         description: 'The file to write, in the folder that the service reads.'
property :node_name, String,
         default: lazy { PushJobs::Cookbook::Identity.node_name },
         description: 'Name of the machine in the cluster; for a node it has to be its name in Chef.'
property :rpc_address, String,
         default: PushJobs::Cookbook::Serf::RPC,
         description: 'Where it listens for programs of this machine.'
property :rpc_auth_key, String,
         sensitive: true,
         description: 'Key that these have to know.'
property :bind, String,
         description: 'Where it listens for the cluster; unset means all addresses, port 7946.'
property :join, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'Addresses of other members, tried until one answers.'
property :encrypt_key, String,
         sensitive: true,
         description: 'Key of the cluster: base64 of 16, 24 or 32 bytes.'
property :query_size_limit, Integer,
         description: 'Largest query that it sends, in bytes; unset means 1024.'
property :settings, Hash,
         sensitive: true,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         default: {},
         description: "More of Serf's own settings; they win."

default_action %i(create enable start)

action_class do
  def settings
    # After a restart it finds the members again that it knew: nobody else would look for it.
    given = { 'snapshot_path' => PushJobs::Cookbook::Serf::SNAPSHOT, 'rejoin_after_leave' => true, 'rpc_addr' => new_resource.rpc_address, 'rpc_auth' => new_resource.rpc_auth_key, 'bind' => new_resource.bind, 'encrypt_key' => new_resource.encrypt_key,
              'query_size_limit' => new_resource.query_size_limit }
    given['retry_join'] = new_resource.join unless new_resource.join.empty?
    given.merge(new_resource.settings, 'node_name' => new_resource.node_name).compact
  end

  def check_properties!
    attributes = { 'install' => true, 'rpc_address' => new_resource.rpc_address, 'rpc_auth_key' => new_resource.rpc_auth_key, 'bind' => new_resource.bind, 'join' => new_resource.join,
                   'encrypt_key' => new_resource.encrypt_key, 'query_size_limit' => new_resource.query_size_limit, 'settings' => new_resource.settings }
    PushJobs::Cookbook::Validation.fail_with(PushJobs::Cookbook::Serf.machine_problems(attributes, node['platform_family']))
  end

  # What runs before this converge runs with what is old; only systemd starts nothing without settings.
  def restart?
    !ChefUtils.systemd? || !shell_out('systemctl', 'is-active', '--quiet', "#{PushJobs::Cookbook::Serf::PACKAGE}.service").error?
  end

  # Before the package is there: it starts its service at once, and that should wait for settings.
  def drop_in(restart)
    path = PushJobs::Cookbook::Units.drop_in(PushJobs::Cookbook::Serf::PACKAGE)
    execute 'systemctl daemon-reload for Serf' do
      command %w(systemctl daemon-reload)
      action :nothing
    end
    directory(::File.dirname(path)) { recursive true }
    file path do
      content PushJobs::Cookbook::Serf.unit(new_resource.path)
      mode '0644'
      notifies :run, 'execute[systemctl daemon-reload for Serf]', :immediately
      notifies :restart, "service[#{PushJobs::Cookbook::Serf::PACKAGE}]", :delayed if restart
    end
  end

  def make_state
    directory ::File.dirname(PushJobs::Cookbook::Serf::SNAPSHOT) do
      owner PushJobs::Cookbook::Serf::USER
      group PushJobs::Cookbook::Serf::USER
      mode '0700'
    end
  end

  def write_settings(restart)
    file new_resource.path do
      content "#{JSON.pretty_generate(settings)}\n"
      owner 'root'
      group PushJobs::Cookbook::Serf::USER
      mode '0640'
      sensitive true
      notifies :restart, "service[#{PushJobs::Cookbook::Serf::PACKAGE}]", :delayed if restart
    end
  end
end

action :create do
  description 'Install the package, write the settings and what is added to the unit; what runs already is restarted for what is new.'
  check_properties!
  restart = restart?
  service PushJobs::Cookbook::Serf::PACKAGE do
    action :nothing
  end
  drop_in(restart) if ChefUtils.systemd?
  package PushJobs::Cookbook::Serf::PACKAGE
  make_state
  write_settings(restart)
end

action :enable do
  description 'Start Serf when the machine starts.'
  service PushJobs::Cookbook::Serf::PACKAGE do
    action :enable
  end
end

action :start do
  description 'Start Serf where it does not run.'
  service PushJobs::Cookbook::Serf::PACKAGE do
    action :start
  end
end

action :restart do
  description 'Restart Serf; jobs go on.'
  service PushJobs::Cookbook::Serf::PACKAGE do
    action :restart
  end
end

action :stop do
  description 'Stop Serf: the machine leaves the cluster.'
  service PushJobs::Cookbook::Serf::PACKAGE do
    action :stop
  end
end

unified_mode true

provides :push_jobs_service
resource_name :push_jobs_service
description 'Keeps the agent running. A restart is requested and never waited for, because the converge may be a job of this very agent.'

property :manager, Symbol,
         equal_to: %i(systemd sysv),
         default: lazy { ChefUtils.systemd? ? :systemd : :sysv },
         description: 'What supervises the agent.'
property :client_key, String,
         default: lazy { PushJobs::Cookbook::Identity.client_key },
         description: 'Private key of this node, which systemd hands to the session.'
property :environment, Hash,
         default: {},
         description: 'Variables that every job finds in its environment.'
property :log_dir, String,
         description: 'Folder of the log file, which the session has to be able to write.'
property :config_path, String,
         default: '/etc/chef/push-jobs-client.yml',
         description: 'Settings of the agent; only for a machine without systemd.'

default_action %i(create enable start)

action_class do
  def systemd_manager?
    new_resource.manager == :systemd
  end

  # True when this converge itself has started the agent: what it runs with is new anyway.
  def fresh?
    node.run_state['push_jobs_agent_started']
  end

  def active?(unit)
    !shell_out('systemctl', 'is-active', '--quiet', "#{unit}.service").error?
  end

  # The unit may be ours already while its process is still the old client.
  def old_client_runs?
    shown = shell_out('systemctl', 'show', '--property=MainPID', '--value', "#{PushJobs::Cookbook::Units::SESSION}.service").stdout
    PushJobs::Cookbook::OldClient.process?(shown.to_i)
  end

  def sysv_running?
    !shell_out("/etc/init.d/#{PushJobs::Cookbook::Units::SESSION}", 'status').error?
  rescue Errno::ENOENT
    false
  end

  def reload_systemd
    execute 'systemctl daemon-reload' do
      action :nothing
    end
  end

  def remove_old_client
    stop_old_runit
    leftovers = [PushJobs::Cookbook::OldClient::SETTINGS, *PushJobs::Cookbook::OldClient::SCRIPTS]
    leftovers << PushJobs::Cookbook::OldClient::UNIT if PushJobs::Cookbook::OldClient.unit?
    leftovers.each do |path|
      file path do
        action :delete
        sensitive true
        notifies :run, 'execute[systemctl daemon-reload]', :immediately if path == PushJobs::Cookbook::OldClient::UNIT
      end
    end
  end

  def stop_old_runit
    PushJobs::Cookbook::OldClient.runit.each do |name|
      execute "sv force-stop #{name}" do
        command ['sv', 'force-stop', "/etc/sv/#{name}"]
        only_if { ::File.exist?("/etc/service/#{name}") }
        ignore_failure true
      end
      file("/etc/service/#{name}") { action :delete }
      link("/etc/init.d/#{name}") { action :delete } if ::File.symlink?("/etc/init.d/#{name}")
      directory "/etc/sv/#{name}" do
        recursive true
        action :delete
      end
    end
  end

  def drop_in(unit, text)
    path = PushJobs::Cookbook::Units.drop_in(unit)
    directory ::File.dirname(path) do
      mode '0755'
      recursive true
    end unless text.nil?
    this = new_resource.name
    file path do
      content text unless text.nil?
      mode '0644'
      action text.nil? ? :delete : :create
      notifies :run, 'execute[systemctl daemon-reload]', :immediately
      notifies :restart, "push_jobs_service[#{this}]", :delayed
    end
  end

  def create_systemd
    reload_systemd
    remove_old_client
    drop_in(PushJobs::Cookbook::Units::SESSION, PushJobs::Cookbook::Units.session(new_resource.client_key, new_resource.log_dir))
    drop_in(PushJobs::Cookbook::Units::RUNNER, PushJobs::Cookbook::Units.runner(new_resource.environment))
    replace_old_client if old_client_runs?
  end

  # What is new after this converge is new once, so nothing more has to be asked of it.
  def replace_old_client
    request_restart
    node.run_state['push_jobs_agent_started'] = true
  end

  def create_sysv
    template "/etc/init.d/#{PushJobs::Cookbook::Units::SESSION}" do
      cookbook 'push-jobs'
      source 'sysv.erb'
      mode '0755'
      variables(
        name: PushJobs::Cookbook::Units::SESSION,
        program: PushJobs::Cookbook::AgentCheck::PROGRAM,
        config: new_resource.config_path,
        log: ::File.join(new_resource.log_dir || PushJobs::Cookbook::Units::LOG_DIR, 'push-jobs-client.log'),
        environment: new_resource.environment.compact.sort
      )
    end
    directory(new_resource.log_dir || PushJobs::Cookbook::Units::LOG_DIR) { recursive true }
  end

  def start(unit)
    started = service unit do
      supports status: true
      action :start
    end
    node.run_state['push_jobs_agent_started'] = true if started.updated_by_last_action? && unit == PushJobs::Cookbook::Units::SESSION
  end

  def request_restart
    return if fresh?

    systemd_manager? ? request_systemd_restart : request_sysv_restart
  end

  # The runner ends when no job runs, and systemd starts it again.
  def request_systemd_restart
    return unless active?(PushJobs::Cookbook::Units::SESSION)

    execute 'request a restart of the runner' do
      command ['systemctl', 'kill', '--kill-who=main', '--signal=TERM', "#{PushJobs::Cookbook::Units::RUNNER}.service"]
      only_if { active?(PushJobs::Cookbook::Units::RUNNER) }
    end
    execute 'request a restart of the session' do
      command ['systemctl', '--no-block', 'restart', "#{PushJobs::Cookbook::Units::SESSION}.service"]
    end
    Chef::Log.warn(PushJobs::Cookbook::Units.restart_notice)
  end

  def request_sysv_restart
    return unless sysv_running?

    execute 'request a restart of the agent' do
      command "setsid /etc/init.d/#{PushJobs::Cookbook::Units::SESSION} restart </dev/null >/dev/null 2>&1 &"
    end
    Chef::Log.warn(PushJobs::Cookbook::Units.restart_notice)
  end
end

action :create do
  description 'Write what is added to the units (without systemd: the script), and remove what an old client left.'
  systemd_manager? ? create_systemd : create_sysv
end

action :enable do
  description 'Start the agent when the machine starts.'
  units = systemd_manager? ? [PushJobs::Cookbook::Units::RUNNER, PushJobs::Cookbook::Units::SESSION] : [PushJobs::Cookbook::Units::SESSION]
  units.each do |unit|
    service unit do
      action :enable
    end
  end
end

action :disable do
  description 'Do not start it then.'
  units = systemd_manager? ? [PushJobs::Cookbook::Units::SESSION, PushJobs::Cookbook::Units::RUNNER] : [PushJobs::Cookbook::Units::SESSION]
  units.each do |unit|
    service unit do
      action :disable
    end
  end
end

action :start do
  description 'Start the agent where it does not run.'
  start(PushJobs::Cookbook::Units::RUNNER) if systemd_manager?
  start(PushJobs::Cookbook::Units::SESSION)
end

action :stop do
  description 'Stop the session, so that the node takes no jobs; a job that runs goes on in the runner.'
  service PushJobs::Cookbook::Units::SESSION do
    action :stop
  end
end

action :restart do
  description 'Request a restart: of the session now, of the runner when no job runs.'
  request_restart
end

action :reload do
  description 'Have the agent read settings and whitelist again; no job is disturbed.'
  return if fresh?

  if systemd_manager?
    execute 'reload the agent' do
      command ['systemctl', 'reload', "#{PushJobs::Cookbook::Units::SESSION}.service"]
      only_if { active?(PushJobs::Cookbook::Units::SESSION) }
    end
  elsif sysv_running?
    execute 'reload the agent' do
      command ["/etc/init.d/#{PushJobs::Cookbook::Units::SESSION}", 'reload']
    end
  end
end

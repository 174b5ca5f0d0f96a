require_relative '../spec_helper'

describe 'push_jobs_service' do
  step_into :push_jobs_service

  def shell(provider, running: true)
    %w(chef-push-jobs-client chef-push-jobs-runner).each do |unit|
      allow(provider).to receive_shell_out('systemctl', 'is-active', '--quiet', "#{unit}.service", exitstatus: running ? 0 : 3)
    end
    allow(provider).to receive_shell_out('systemctl', 'show', '--property=MainPID', '--value', 'chef-push-jobs-client.service', stdout: "4711\n")
  end

  context 'with systemd' do
    recipe { push_jobs_service 'chef-push-jobs-client' }
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }

    it 'starts runner and session, now and when the machine starts' do
      %w(chef-push-jobs-runner chef-push-jobs-client).each do |unit|
        is_expected.to start_service(unit)
        is_expected.to enable_service(unit)
      end
    end

    it 'hands another key than the usual one to the session' do
      is_expected.to create_file('/etc/systemd/system/chef-push-jobs-client.service.d/10-push-jobs.conf')
        .with(content: /^LoadCredential=\nLoadCredential=client_key:#{CLIENT_KEY}$/)
    end

    it 'requests a restart when something in that changes, at the end' do
      drop_in = chef_run.file('/etc/systemd/system/chef-push-jobs-client.service.d/10-push-jobs.conf')
      expect(drop_in).to notify('execute[systemctl daemon-reload]').to(:run).immediately
      expect(drop_in).to notify('push_jobs_service[chef-push-jobs-client]').to(:restart).delayed
    end
  end

  context 'with the usual key and variables for jobs' do
    recipe do
      push_jobs_service 'chef-push-jobs-client' do
        client_key '/etc/chef/client.pem'
        environment 'LC_ALL' => 'C.UTF-8', 'MOTTO' => "100% \"sure\"\\\nyes", 'GONE' => nil
      end
    end
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }

    it { is_expected.to delete_file('/etc/systemd/system/chef-push-jobs-client.service.d/10-push-jobs.conf') }

    it 'gives the variables to the runner, as they are' do
      is_expected.to create_file('/etc/systemd/system/chef-push-jobs-runner.service.d/10-push-jobs.conf')
        .with(content: /^\[Service\]\nEnvironment="LC_ALL=C.UTF-8"\nEnvironment="MOTTO=100%% \\"sure\\"\\\\\\nyes"\n\z/)
    end
  end

  context 'when a restart is asked for' do
    recipe { push_jobs_service('chef-push-jobs-client') { action :restart } }

    context 'and the agent runs' do
      stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }

      it 'requests it and waits for nothing' do
        is_expected.to run_execute('request a restart of the session').with(command: %w(systemctl --no-block restart chef-push-jobs-client.service))
        is_expected.to run_execute('request a restart of the runner').with(command: %w(systemctl kill --kill-who=main --signal=TERM chef-push-jobs-runner.service))
      end

      it 'says that it is pending when the converge is itself a push job' do
        ENV['CHEF_PUSH_JOB_ID'] = 'f' * 32
        expect(Chef::Log).to receive(:warn).with(/restart pending: this converge is the push job f{32}/)
        chef_run
      ensure
        ENV.delete('CHEF_PUSH_JOB_ID')
      end
    end

    context 'and the agent does not run' do
      stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider, running: false) }

      it { is_expected.not_to run_execute('request a restart of the session') }
    end
  end

  context 'when this converge has started the agent' do
    recipe do
      node.run_state['push_jobs_agent_started'] = true
      push_jobs_service('chef-push-jobs-client') { action %i(restart reload) }
    end
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }

    it 'neither restarts nor reloads it' do
      is_expected.not_to run_execute('request a restart of the session')
      is_expected.not_to run_execute('reload the agent')
    end
  end

  context 'when a reload is asked for' do
    recipe { push_jobs_service('chef-push-jobs-client') { action :reload } }
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }

    it { is_expected.to run_execute('reload the agent').with(command: %w(systemctl reload chef-push-jobs-client.service)) }
    it { is_expected.not_to run_execute('request a restart of the session') }
  end

  context 'with what the old cookbook left' do
    recipe { push_jobs_service 'chef-push-jobs-client' }
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') { |provider| shell(provider) }
    before do
      allow(PushJobs::Cookbook::OldClient).to receive_messages(unit?: true, process?: true, runit: ['opscode-push-jobs-client'])
    end

    it 'removes unit, settings, scripts and the service of runit' do
      is_expected.to delete_file('/etc/systemd/system/chef-push-jobs-client.service')
      expect(chef_run.file('/etc/systemd/system/chef-push-jobs-client.service')).to notify('execute[systemctl daemon-reload]').to(:run).immediately
      is_expected.to delete_file('/etc/chef/push-jobs-client.rb')
      is_expected.to delete_file('/etc/init.d/chef-push-jobs-client.conf')
      is_expected.to delete_directory('/etc/sv/opscode-push-jobs-client')
    end

    it 'requests a restart, so that the new agent takes over' do
      is_expected.to run_execute('request a restart of the session')
    end
  end

  context 'when told to stop or not to start again' do
    recipe { push_jobs_service('chef-push-jobs-client') { action %i(stop disable) } }

    it 'leaves a running job to the runner' do
      is_expected.to stop_service('chef-push-jobs-client')
      is_expected.not_to stop_service('chef-push-jobs-runner')
      is_expected.to disable_service('chef-push-jobs-runner')
    end
  end

  context 'without systemd' do
    recipe do
      push_jobs_service 'chef-push-jobs-client' do
        manager :sysv
        environment 'MOTTO' => "it's"
        action %i(create enable start reload restart)
      end
    end
    stubs_for_provider('push_jobs_service[chef-push-jobs-client]') do |provider|
      allow(provider).to receive_shell_out('/etc/init.d/chef-push-jobs-client', 'status')
    end

    it 'writes a script and uses it' do
      is_expected.to render_file('/etc/init.d/chef-push-jobs-client')
        .with_content(%r{exec "\$@"' sh "\$pid_file" /usr/bin/pushy-client --config /etc/chef/push-jobs-client.yml})
        .with_content("export MOTTO\\=it\\'s")
      is_expected.to start_service('chef-push-jobs-client')
      is_expected.not_to start_service('chef-push-jobs-runner')
      is_expected.to run_execute('reload the agent').with(command: %w(/etc/init.d/chef-push-jobs-client reload))
    end

    it 'waits for no restart' do
      is_expected.to run_execute('request a restart of the agent').with(command: /setsid .* restart .*&\z/)
    end
  end
end

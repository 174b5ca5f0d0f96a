require_relative '../spec_helper'

describe 'push_jobs_serf' do
  step_into :push_jobs_serf
  path = '/etc/serf/push-jobs.json'
  drop_in = '/etc/systemd/system/serf.service.d/10-push-jobs.conf'
  let(:settings) { JSON.parse(chef_run.file(path).content) }

  def shell(provider, running)
    allow(provider).to receive_shell_out('systemctl', 'is-active', '--quiet', 'serf.service', exitstatus: running ? 0 : 3)
  end

  context 'on a fresh machine with nothing given' do
    recipe { push_jobs_serf '/etc/serf/push-jobs.json' }
    stubs_for_provider('push_jobs_serf[/etc/serf/push-jobs.json]') { |provider| shell(provider, false) }

    it 'installs the package of Debian and keeps it running' do
      is_expected.to install_package('serf')
      is_expected.to enable_service('serf')
      is_expected.to start_service('serf')
    end

    it 'has the name of the node, listens for this machine alone, and remembers the members' do
      expect(settings).to eq('node_name' => 'web1', 'rpc_addr' => '127.0.0.1:7373', 'snapshot_path' => '/var/lib/serf/push-jobs.snapshot', 'rejoin_after_leave' => true)
    end

    it { is_expected.to create_directory('/var/lib/serf').with(owner: '_serf', mode: '0700') }
    it { is_expected.to create_file(path).with(owner: 'root', group: '_serf', mode: '0640', sensitive: true) }

    it 'has it wait for its settings and run without rights' do
      is_expected.to create_file(drop_in).with(content: %r{^ConditionPathExists=/etc/serf/push-jobs.json$.*^User=_serf$.*^ExecStartPre=$}m)
      expect(chef_run.file(drop_in)).to notify('execute[systemctl daemon-reload for Serf]').to(:run).immediately
    end

    it 'starts it once, with what is new' do
      [path, drop_in].each { |file| expect(chef_run.file(file)).not_to notify('service[serf]') }
    end
  end

  context 'where it runs, with everything given' do
    recipe do
      push_jobs_serf '/etc/serf/push-jobs.json' do
        node_name 'other "1"'
        rpc_address '0.0.0.0:7400'
        rpc_auth_key "a\"b\nc"
        bind '192.0.2.1:7946'
        join %w(192.0.2.2 push.example.com:7947)
        encrypt_key ['k' * 32].pack('m0')
        query_size_limit 1380
        settings tags: { role: 'web' }, 'profile' => 'wan', 'snapshot_path' => nil, 'rejoin_after_leave' => nil
      end
    end
    stubs_for_provider('push_jobs_serf[/etc/serf/push-jobs.json]') { |provider| shell(provider, true) }

    it 'writes values as they are' do
      expect(settings).to eq(
        'node_name' => 'other "1"', 'rpc_addr' => '0.0.0.0:7400', 'rpc_auth' => "a\"b\nc", 'bind' => '192.0.2.1:7946', 'retry_join' => %w(192.0.2.2 push.example.com:7947),
        'encrypt_key' => ['k' * 32].pack('m0'), 'query_size_limit' => 1380, 'tags' => { 'role' => 'web' }, 'profile' => 'wan'
      )
    end

    it 'restarts it for what is new, and for nothing else' do
      [path, drop_in].each { |file| expect(chef_run.file(file)).to notify('service[serf]').to(:restart).delayed }
      is_expected.not_to restart_service('serf')
    end
  end

  context 'without systemd' do
    before { allow(ChefUtils).to receive(:systemd?).and_return(false) }
    recipe { push_jobs_serf '/etc/serf/push-jobs.json' }

    it { is_expected.not_to create_file(drop_in) }
    it { is_expected.to start_service('serf') }
    it { expect(chef_run.file(path)).to notify('service[serf]').to(:restart).delayed }
  end

  context 'with mistakes' do
    recipe do
      push_jobs_serf '/etc/serf/push-jobs.json' do
        bind 'here'
        encrypt_key 'secret'
        settings 'node_name' => 'x'
      end
    end

    it 'names all of them, without the secret' do
      expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /3 problems:\n.*serf.bind is "here".*\n.*serf.encrypt_key is not base64 of 16, 24, 32 bytes.*\n.*serf.settings holds node_name/)
    end
  end

  context 'on a platform without the package' do
    platform 'rocky', '9'
    recipe { push_jobs_serf '/etc/serf/push-jobs.json' }

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /family rhel has no package of Serf: .*set serf.install to false/) }
  end

  context 'when told to' do
    recipe { push_jobs_serf('/etc/serf/push-jobs.json') { action %i(restart stop) } }

    it { is_expected.to restart_service('serf') }
    it { is_expected.to stop_service('serf') }
  end
end

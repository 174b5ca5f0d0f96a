require_relative '../spec_helper'

describe 'push_jobs_server' do
  step_into :push_jobs_server
  settings = '/var/lib/push-jobs-server/settings.yml'

  # Where only 'ops' is there already, with alice in it.
  def shell(provider)
    shown = JSON.generate('users' => %w(alice), 'clients' => [], 'groups' => [])
    allow(provider).to receive(:shell_out) do |*words, **_|
      there = words.include?('ops')
      double(error?: !there, stdout: there ? shown : '', stderr: '', exitstatus: there ? 0 : 1)
    end
  end

  before do
    allow(File).to receive(:exist?).and_call_original
    allow(File).to receive(:exist?).with(settings).and_return(true)
    allow(File).to receive(:read).and_call_original
    allow(File).to receive(:read).with(settings).and_return("heartbeat_interval: 10\nhttp: {port: 10003, threads: 64}\ntrusted_proxies: [127.0.0.1]\n")
  end

  recipe do
    push_jobs_server 'server' do
      org 'acme'
      admin 'alice'
      hosts %w(push.example.com 192.0.2.1)
      settings 'http' => { 'threads' => 8 }, 'trusted_proxies' => ['192.0.2.2']
      organizations 'staging'
      users 'bob' => { 'orgs' => %w(acme staging), 'admin' => true, 'public_key' => '/srv/bob.pub' }
      clients 'web1' => { 'public_key' => 'PEM' }
      groups 'ops' => { 'users' => %w(alice bob), 'clients' => %w(web1) }, 'new' => { 'org' => 'staging' }
    end
  end
  stubs_for_provider('push_jobs_server[server]') { |provider| shell(provider) }

  it 'prepares it once' do
    is_expected.to run_execute('prepare the push jobs server').with(
      command: %w(push-jobs-server init --org acme --admin alice --admin-key /root/push-jobs-alice.pem --host push.example.com --host 192.0.2.1)
    )
  end

  it 'puts settings above those that are there, and restarts the server for them' do
    written = chef_run.file(settings)
    expect(YAML.safe_load(written.content)).to eq('heartbeat_interval' => 10, 'http' => { 'port' => 10003, 'threads' => 8 }, 'trusted_proxies' => ['192.0.2.2'])
    expect(written.content).not_to include('!ruby')
    expect([written.mode, written.owner, written.sensitive]).to eq(['0600', 'push-jobs-server', true])
    expect(written).to notify('service[push-jobs-server]').to(:restart).delayed
  end

  it 'makes who and what is missing, as the user of the service' do
    is_expected.to run_execute('make the organization staging').with(command: %w(push-jobs-server org create staging), user: 'push-jobs-server')
    is_expected.to run_execute('make the user bob').with(command: %w(push-jobs-server user create bob --org acme --org staging --admin --public-key /srv/bob.pub))
    is_expected.to create_file('/etc/push-jobs-server/client-web1.pub').with(content: 'PEM')
    is_expected.to run_execute('make the client web1').with(command: %w(push-jobs-server client create web1 --org acme --public-key /etc/push-jobs-server/client-web1.pub))
    is_expected.to run_execute('make the group new').with(command: %w(push-jobs-server group create new --org staging))
    is_expected.not_to run_execute('make the group ops')
    is_expected.to run_execute('fill the group ops').with(command: %w(push-jobs-server group add ops --org acme --user bob --client web1))
  end

  it 'starts it, now and when the machine starts' do
    is_expected.to start_service('push-jobs-server')
    is_expected.to enable_service('push-jobs-server')
  end
end

describe 'push_jobs_server with jobs over Serf' do
  step_into :push_jobs_server

  recipe do
    push_jobs_server 'server' do
      org 'acme'
      admin 'alice'
      serf 'auth_key' => 'k', 'query_size_limit' => 1380
      settings 'serf' => { 'query_size_limit' => 1300 }
    end
  end
  stubs_for_provider('push_jobs_server[server]') { |provider| allow(provider).to receive_shell_out('push-jobs-server', 'serf-key', user: 'push-jobs-server', group: 'push-jobs-server', stdout: 'PEM') }

  it 'switches them on for its first organization' do
    expect(YAML.safe_load(chef_run.file('/var/lib/push-jobs-server/settings.yml').content)).to eq('serf' => { 'organization' => 'acme', 'auth_key' => 'k', 'query_size_limit' => 1300 })
  end

  it { is_expected.to create_file('/etc/push-jobs-server/serf.pub').with(content: 'PEM', mode: '0644') }
end

describe 'push_jobs_server with a user without a key' do
  recipe do
    push_jobs_server 'server' do
      org 'acme'
      admin 'alice'
      users 'bob' => {}
    end
  end

  it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /must have a public_key each/) }
end

require_relative '../spec_helper'

describe 'push_jobs_config' do
  step_into :push_jobs_config
  let(:path) { '/etc/chef/push-jobs-client.yml' }
  let(:settings) { YAML.safe_load(chef_run.file(path).content) }

  context 'with nothing given' do
    recipe { push_jobs_config '/etc/chef/push-jobs-client.yml' }

    it 'takes what the Chef client knows of itself' do
      expect(settings).to eq(
        'chef_server_url' => SERVER_URL, 'node_name' => 'web1', 'client_key' => CLIENT_KEY, 'trusted_certs_dir' => '/etc/chef/trusted_certs',
        'whitelist' => '/etc/chef/push-jobs-whitelist.json', 'start_runner' => false, 'log_level' => 'info', 'allow_unencrypted' => false
      )
    end

    it { is_expected.to create_file(path).with(owner: 'root', group: 'push-jobs-client', mode: '0640', sensitive: true) }
    it { is_expected.to create_directory('/etc/chef') }
  end

  context 'with proxies of the Chef client' do
    before do
      { http_proxy: 'proxy.example.com:3128', http_proxy_user: 'me', http_proxy_pass: 'a@b:c d', no_proxy: 'localhost' }.each do |name, value|
        allow(Chef::Config).to receive(:[]).with(name).and_return(value)
      end
    end
    recipe { push_jobs_config '/etc/chef/push-jobs-client.yml' }

    it 'puts user and password into the address, and nothing breaks out of it' do
      expect(settings).to include('http_proxy' => 'http://me:a%40b%3Ac%20d@proxy.example.com:3128', 'no_proxy' => 'localhost')
    end
  end

  context 'with everything given' do
    recipe do
      push_jobs_config '/etc/chef/push-jobs-client.yml' do
        chef_server_url 'https://other.example.com/organizations/one'
        node_name "odd: name\n# no"
        log_dir '/var/log/chef'
        settings 'max_body_size' => 4096, allowed_users: %w(backup), 'log_level' => 'debug', 'file_dir' => nil
      end
    end

    it 'writes values as they are, and leaves out what is nil' do
      expect(settings).to include('node_name' => "odd: name\n# no", 'max_body_size' => 4096, 'allowed_users' => ['backup'], 'log_level' => 'debug',
                                  'log_location' => '/var/log/chef/push-jobs-client.log')
      expect(settings).not_to include('file_dir')
    end
  end

  context 'with jobs over Serf alone' do
    recipe do
      push_jobs_config '/etc/chef/push-jobs-client.yml' do
        pushy false
        shovey_url 'https://push.example.com:10003/'
        serf_addr '127.0.0.1:7373'
        serf_auth_key 'a: "b"'
        sign_pub_key '/etc/chef/push-jobs-serf.pub'
        time_slew 60
      end
    end

    it 'writes the names of the agent, and no push jobs server' do
      expect(settings).to include('shovey_url' => 'https://push.example.com:10003/', 'serf_addr' => '127.0.0.1:7373', 'serf_auth_key' => 'a: "b"',
                                  'sign_pub_key' => '/etc/chef/push-jobs-serf.pub', 'time_slew' => 60, 'node_name' => 'web1')
      expect(settings).not_to include('chef_server_url')
    end
  end

  context 'without systemd' do
    before { allow(ChefUtils).to receive(:systemd?).and_return(false) }
    recipe { push_jobs_config '/etc/chef/push-jobs-client.yml' }

    it 'has the session start the runner' do
      expect(settings).to include('start_runner' => true)
    end
  end
end

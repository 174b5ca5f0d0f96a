require_relative '../spec_helper'

# Jobs over Serf, by attributes: what is written where, and what is wrong before anything is changed.
describe 'push-jobs::default' do
  failure = Chef::Exceptions::ValidationFailed
  pair = OpenSSL::PKey::RSA.new(2048)
  public_key = pair.public_to_pem
  key_file = '/etc/chef/push-jobs-serf.pub'
  config = '/etc/chef/push-jobs-client.yml'
  serf = '/etc/serf/push-jobs.json'
  base = { 'enabled' => true, 'url' => 'https://push.example.com:10003/', 'sign_pub_key' => public_key }.freeze

  context 'when it is not enabled' do
    default_attributes['push_jobs']['serf'] = { 'url' => 5, 'join' => 'x' }

    it 'changes nothing' do
      is_expected.not_to include_recipe('push-jobs::serf')
      is_expected.not_to create_file(key_file)
      is_expected.to create_push_jobs_config(config).with(pushy: true, shovey_url: nil, serf_addr: nil, sign_pub_key: nil)
    end
  end

  %w(debian ubuntu).each do |name|
    context "when it is enabled on #{name}" do
      platform name, PLATFORMS[name]
      default_attributes['push_jobs']['serf'] = base.merge(
        'rpc_auth_key' => 'k', 'bind' => '192.0.2.1', 'join' => ['192.0.2.2'], 'encrypt_key' => ['k' * 16].pack('m0'), 'time_slew' => 60, 'query_size_limit' => 1300, 'settings' => { 'profile' => 'wan' }
      )

      it 'sets Serf up under the name of the node' do
        is_expected.to create_push_jobs_serf(serf).with(
          node_name: 'web1', rpc_address: '127.0.0.1:7373', rpc_auth_key: 'k', bind: '192.0.2.1', join: ['192.0.2.2'], encrypt_key: ['k' * 16].pack('m0'), query_size_limit: 1300,
          settings: { 'profile' => 'wan' }
        )
        is_expected.to start_push_jobs_serf(serf)
      end

      it 'tells the agent, beside what it knew' do
        is_expected.to create_push_jobs_config(config).with(
          pushy: true, chef_server_url: SERVER_URL, shovey_url: 'https://push.example.com:10003/', serf_addr: '127.0.0.1:7373', serf_auth_key: 'k', sign_pub_key: key_file, time_slew: 60
        )
      end

      it 'writes the key, and reloads for another one' do
        is_expected.to create_file(key_file).with(content: public_key, mode: '0644')
        expect(chef_run.file(key_file)).to notify('push_jobs_service[chef-push-jobs-client]').to(:reload).delayed
      end
    end
  end

  context 'with the path of a key, without a push jobs server, under another name' do
    default_attributes['push_jobs'] = { 'chef' => { 'chef_server_url' => 'chefzero://localhost:1', 'node_name' => 'n1' }, 'serf' => base.merge('sign_pub_key' => '/srv/key.pub', 'pushy' => false) }

    it { is_expected.to create_push_jobs_config(config).with(pushy: false, sign_pub_key: '/srv/key.pub') }
    it { is_expected.not_to create_file(key_file) }
    it { is_expected.to create_push_jobs_serf(serf).with(node_name: 'n1') }
  end

  context 'on a platform without the package' do
    platform 'rocky', PLATFORMS['rocky']

    context 'where it is to be installed' do
      default_attributes['push_jobs']['serf'] = base

      it { expect { chef_run }.to raise_error(failure, /serf.install is true, but the platform family rhel has no package of Serf: install and run Serf by other means, .* set serf.install to false/) }
    end

    context 'where it runs by other means' do
      default_attributes['push_jobs']['serf'] = base.merge('install' => false, 'rpc_address' => '127.0.0.1:7400')

      it { is_expected.not_to create_push_jobs_serf(serf) }
      it { is_expected.to create_push_jobs_config(config).with(serf_addr: '127.0.0.1:7400') }
    end
  end

  def self.with(attributes, expected)
    context "with #{attributes}" do
      default_attributes['push_jobs']['serf'] = { 'enabled' => true, 'url' => 'https://h/', 'sign_pub_key' => '/k' }.merge(attributes)
      it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, expected) }
    end
  end

  with({ 'enabled' => 'yes' }, /serf.enabled is "yes", expected true or false/)
  with({ 'url' => nil }, /serf.url is not set/)
  with({ 'url' => 'push.example.com' }, %r{serf.url is "push.example.com", expected https://HOST:PORT/})
  with({ 'url' => 'https://h/organizations/acme' }, /serf.url is ".*", which names an organization/)
  with({ 'url' => 'https://h/?x' }, /serf.url holds more than a host/)
  with({ 'url' => 'no address' }, /serf.url is "no address", which is no address/)
  with({ 'sign_pub_key' => nil }, /serf.sign_pub_key is not set: give what push-jobs-server serf-key prints/)
  with({ 'sign_pub_key' => 'key.pub' }, /serf.sign_pub_key is text, expected a public key in PEM form or an absolute path/)
  with({ 'sign_pub_key' => "-----BEGIN PUBLIC KEY-----\nx\n" }, /serf.sign_pub_key holds no public RSA key/)
  with({ 'sign_pub_key' => pair.to_pem }, /serf.sign_pub_key holds a private key/)
  with({ 'time_slew' => 0 }, /serf.time_slew is 0, expected a number of seconds from 1 to 86400/)
  with({ 'pushy' => nil }, /serf.pushy is nil/)
  with({ 'install' => 'no' }, /serf.install is "no"/)
  with({ 'rpc_address' => 'localhost' }, /serf.rpc_address is "localhost", expected HOST:PORT/)
  with({ 'rpc_address' => 'h:70000' }, /serf.rpc_address is "h:70000"/)
  with({ 'rpc_address' => '0.0.0.0:7373' }, /serf.rpc_address is 0.0.0.0:7373, which others can reach: give an rpc_auth_key/)
  with({ 'bind' => 'eth0' }, /serf.bind is "eth0", expected an IP address/)
  with({ 'join' => '192.0.2.1' }, /serf.join is text, expected a list of addresses/)
  with({ 'join' => ['a b'] }, /serf.join: "a b" is no address/)
  with({ 'encrypt_key' => ['k' * 15].pack('m0') }, /serf.encrypt_key is not base64 of 16, 24, 32 bytes/)
  with({ 'encrypt_key' => 'not base64!' }, /serf.encrypt_key is not base64/)
  with({ 'query_size_limit' => 2000 }, /serf.query_size_limit is 2000, expected a whole number of bytes from 512 to 1380/)
  with({ 'settings' => { 'node_name' => 'x' } }, /serf.settings holds node_name/)

  context 'with many mistakes' do
    default_attributes['push_jobs'] = { 'logging_level' => 'loud', 'serf' => { 'enabled' => true, 'bind' => 'x', 'encrypt_key' => 'y' } }
    it { expect { chef_run }.to raise_error(failure, /because of 5 problems:\n.*logging_level.*\n.*serf.url.*\n.*serf.sign_pub_key.*\n.*serf.bind.*\n.*serf.encrypt_key/) }
  end
end

describe 'push-jobs::server' do
  server = { 'org' => 'acme', 'admin' => 'alice', 'serf' => true }

  context 'on Debian' do
    default_attributes['push_jobs'] = { 'server' => server, 'serf' => { 'rpc_auth_key' => 'k', 'query_size_limit' => 1380 } }

    it { is_expected.to create_push_jobs_serf('/etc/serf/push-jobs.json').with(node_name: 'web1', rpc_auth_key: 'k', query_size_limit: 1380) }
    it { is_expected.to create_push_jobs_server('push-jobs-server').with(serf: { 'address' => '127.0.0.1:7373', 'auth_key' => 'k', 'query_size_limit' => 1380 }) }
  end

  context 'with mistakes' do
    default_attributes['push_jobs'] = { 'server' => server.merge('admin' => nil), 'serf' => { 'bind' => 'x' } }

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /2 problems:\n.*server.admin is not set\n.*serf.bind is "x"/) }
  end

  context 'where that is not asked for' do
    default_attributes['push_jobs']['server'] = { 'org' => 'acme', 'admin' => 'alice' }

    it { is_expected.not_to create_push_jobs_serf('/etc/serf/push-jobs.json') }
    it { is_expected.to create_push_jobs_server('push-jobs-server').with(serf: nil) }
  end

  context 'where that is no word for it' do
    default_attributes['push_jobs']['server'] = server.merge('serf' => 'yes')

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /server.serf is "yes", expected true or false/) }
  end
end

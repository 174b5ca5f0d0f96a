require 'chefspec'
require 'openssl'
require 'tmpdir'

# Platforms whose data Fauxhai brings along: nothing is fetched.
PLATFORMS = { 'debian' => '12', 'ubuntu' => '22.04', 'rocky' => '9' }.freeze

SERVER_URL = 'https://chef.example.com/organizations/acme'.freeze
CLIENT_KEY = File.join(Dir.mktmpdir, 'client.pem')
File.write(CLIENT_KEY, OpenSSL::PKey::RSA.new(2048).to_pem)
at_exit { FileUtils.remove_entry(File.dirname(CLIENT_KEY)) }

# What the Chef client of a node knows of itself; ChefSpec resets the real thing for each example.
CHEF_CLIENT = { chef_server_url: SERVER_URL, node_name: 'web1', client_key: CLIENT_KEY, trusted_certs_dir: '/etc/chef/trusted_certs' }.freeze

RSpec.configure do |config|
  config.cookbook_path = File.expand_path('../../../../cookbooks', __dir__)
  config.cookbook_root = File.join(config.cookbook_path, 'push-jobs')
  config.log_level = :fatal
  config.platform = 'debian'
  config.version = '12'
  config.before do
    # Some examples need the libraries before any converge.
    ChefSpec::SoloRunner.new(platform: 'debian', version: '12').preload! unless defined?(PushJobs)
    allow(Chef::Config).to receive(:[]).and_call_original
    CHEF_CLIENT.each { |name, value| allow(Chef::Config).to receive(:[]).with(name).and_return(value) }
    # The machine of the tests may have another process 1 than nodes have.
    allow(ChefUtils).to receive(:systemd?).and_return(true)
  end
end

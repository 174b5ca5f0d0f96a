require_relative '../spec_helper'

# A converge with bad input stops before it changed anything, and says all of it.
describe 'push-jobs::default' do
  failure = Chef::Exceptions::ValidationFailed

  def self.with(attributes, expected)
    context "with #{attributes}" do
      default_attributes['push_jobs'] = attributes
      it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, expected) }
    end
  end

  with({ 'whitelist' => %w(ls) }, /whitelist is a list, expected a mapping/)
  with({ 'whitelist' => { 'x' => 5 } }, /whitelist: x: is a number, expected a command line/)
  with({ 'whitelist' => { '/[/' => 'true' } }, %r{whitelist: /\[/: is not a pattern})
  with({ 'whitelist' => { 'x' => { 'command_line' => 'true', 'usr' => 'me' } } }, /whitelist: x: usr: is not known; expected one of command_line, lock, user/)
  with({ 'chef' => { 'chef_server_url' => 'https://chef.example.com' } }, /chef_server_url is "https:.*names no organization/)
  with({ 'chef' => { 'chef_server_url' => 'chefzero://localhost:1' } }, %r{expected https://HOST/organizations/ORG})
  with({ 'chef' => { 'chef_server_url' => 'http://chef.example.com/organizations/acme' } }, %r{expected https:// \(plain http only to this very machine\)})
  with({ 'chef' => { 'chef_server_url' => 'not an address' } }, /which is no address/)
  with({ 'chef' => { 'node_name' => 'web 1' } }, /node_name is "web 1"/)
  with({ 'chef' => { 'client_key_path' => '/nowhere/client.pem' } }, %r{client key /nowhere/client.pem is not there})
  with({ 'chef' => { 'client_key_path' => '/' } }, %r{client key / cannot be read})
  with({ 'chef' => { 'client_key_path' => __FILE__ } }, /holds no private RSA key/)
  with({ 'chef' => { 'ssl_verify_mode' => 'sometimes' } }, /chef.ssl_verify_mode is "sometimes"/)
  with({ 'logging_level' => 'loud' }, /logging_level is "loud", expected one of debug, info/)
  with({ 'package_url' => 'https://example.com/a.deb' }, /package_url has no package_checksum/)
  with({ 'package_url' => 'https://example.com/a.deb', 'package_checksum' => '' }, /package_url has no package_checksum/)
  with({ 'package_url' => 'https://example.com/a.deb', 'package_checksum' => 'abc' }, /package_checksum: "abc" is no SHA-256/)
  with({ 'package_url' => '/a.deb', 'package_checksum' => 'ab' * 32 }, %r{package_url: "/a.deb" is no address})
  with({ 'local_package_path' => 'a.deb' }, /local_package_path: "a.deb" is no absolute path/)
  with({ 'local_package_path' => __FILE__, 'package_checksum' => 'ab' * 32 }, /has another SHA-256 than/)
  with({ 'max_body_size' => 10 }, /max_body_size is 10, expected a whole number of at least 2048/)
  with({ 'drain_timeout' => 'long' }, /drain_timeout is "long", expected a number/)
  with({ 'file_dir' => 'tmp' }, /file_dir is "tmp", expected an absolute path/)
  with({ 'allowed_users' => 'me' }, /allowed_users is text, expected a list of names/)
  with({ 'environment_variables' => { 'A' => 1 } }, /environment_variables: expected/)
  with({ 'log_rotation' => { 'file_maxbytes' => 'big' } }, /log_rotation.file_maxbytes is "big"/)
  with({ 'init_style' => 'launchd' }, /init_style is "launchd", expected systemd or sysv/)
  with({ 'allow_unencrypted' => 'yes' }, /allow_unencrypted is "yes"/)

  context 'on a platform that is not supported' do
    platform 'windows', '2019'
    it { expect { chef_run }.to raise_error(failure, /platform windows .*is not supported; supported families are debian, rhel/) }
  end

  context 'with many mistakes' do
    default_attributes['push_jobs'] = { 'whitelist' => { 'x' => 5, 'y' => '' }, 'logging_level' => 'loud', 'chef' => { 'chef_server_url' => 'https://x', 'client_key_path' => '/none' } }
    it { expect { chef_run }.to raise_error(failure, /nothing was changed, because of 5 problems:\n(  \* .*\n){4}  \* .*\z/) }
  end

  context 'as a job of the old client' do
    before { allow(PushJobs::Cookbook::OldClient).to receive(:unit?).and_return(true) }
    around do |example|
      ENV['CHEF_PUSH_JOB_ID'] = 'x'
      example.run
    ensure
      ENV.delete('CHEF_PUSH_JOB_ID')
    end
    it { expect { chef_run }.to raise_error(failure, /is a job of the old push jobs client/) }
  end

  context 'with attributes that mean nothing any more' do
    default_attributes['push_jobs'] = {
      'init_style' => 'runit', 'package_name' => 'x', 'service_name' => 'other', 'max_jobs' => 2,
      'config' => { 'template_cookbook' => 'mine' }, 'chef' => { 'verify_api_cert' => false, 'ssl_verify_mode' => :verify_none, 'install_path' => '/opt/x', 'exec_name' => 'x' }
    }
    it 'warns of each, and goes on' do
      warned = []
      allow(Chef::Log).to receive(:warn) { |text| warned << text }
      is_expected.to include_recipe('push-jobs::service')
      %w(init_style package_name service_name max_jobs config.template_cookbook chef.verify_api_cert chef.ssl_verify_mode chef.install_path chef.exec_name).each do |name|
        expect(warned.grep(/#{Regexp.escape(name)}/).size).to eq(1), name
      end
    end
  end

  context 'with the values that the old cookbook had by default' do
    default_attributes['push_jobs'] = { 'service_name' => 'chef-push-jobs-client', 'package_checksum' => '', 'chef' => { 'verify_api_cert' => true, 'ssl_verify_mode' => :verify_peer, 'include_timestamp' => false } }
    it 'says nothing' do
      expect(Chef::Log).not_to receive(:warn)
      chef_run
    end
  end
end

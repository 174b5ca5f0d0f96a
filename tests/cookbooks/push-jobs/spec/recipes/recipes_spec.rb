require_relative '../spec_helper'

# Recipes only hand attributes to resources.
describe 'push-jobs::package' do
  default_attributes['push_jobs'] = { 'package_url' => 'https://example.com/push-jobs-agent_2_all.deb', 'package_checksum' => 'ab' * 32, 'package_version' => '2' }

  it { is_expected.to install_push_jobs_install('push-jobs-agent').with(package_url: ['https://example.com/push-jobs-agent_2_all.deb'], package_checksum: ['ab' * 32], version: '2') }

  it 'leaves the restart to the package' do
    expect(chef_run.push_jobs_install('push-jobs-agent')).not_to notify('push_jobs_service[chef-push-jobs-client]')
  end

  context 'without systemd' do
    before { allow(ChefUtils).to receive(:systemd?).and_return(false) }

    it { expect(chef_run.push_jobs_install('push-jobs-agent')).to notify('push_jobs_service[chef-push-jobs-client]').to(:restart).delayed }
  end
end

describe 'push-jobs::config' do
  default_attributes['push_jobs'] = {
    'whitelist' => { 'chef-client' => false, 'hello' => 'echo hello' }, 'whitelist_path' => '/etc/wl.json',
    'chef' => { 'chef_server_url' => 'https://x/organizations/y', 'node_name' => 'n', 'trusted_certs_path' => '/t' },
    'proxy' => { 'https' => { 'url' => 'http://p:1', 'user' => 'u', 'pass' => 'p' } }, 'no_proxy' => 'x',
    'logging_level' => 'debug', 'logging_dir' => '/var/log/x', 'log_rotation' => { 'num_to_keep' => 3 },
    'allowed_users' => ['backup'], 'drain_timeout' => 5, 'settings' => { 'output_limit' => 2048 }
  }

  it 'writes the whitelist of all levels, and reloads for it' do
    whitelist = chef_run.push_jobs_whitelist('/etc/wl.json')
    expect(whitelist.entries).to eq('chef-client' => false, 'hello' => 'echo hello')
    expect(whitelist).to notify('push_jobs_service[chef-push-jobs-client]').to(:reload).delayed
  end

  it 'writes the settings, and requests a restart for them' do
    is_expected.to create_push_jobs_config('/etc/chef/push-jobs-client.yml').with(
      chef_server_url: 'https://x/organizations/y', node_name: 'n', trusted_certs_dir: '/t', client_key: CLIENT_KEY, https_proxy: 'http://u:p@p:1', no_proxy: 'x',
      log_level: 'debug', log_dir: '/var/log/x', log_keep: 3, whitelist_path: '/etc/wl.json', start_runner: false,
      settings: { 'allowed_users' => ['backup'], 'drain_timeout' => 5, 'output_limit' => 2048 }
    )
    expect(chef_run.push_jobs_config('/etc/chef/push-jobs-client.yml')).to notify('push_jobs_service[chef-push-jobs-client]').to(:restart).delayed
  end
end

describe 'push-jobs::service' do
  default_attributes['push_jobs'] = { 'environment_variables' => { 'A' => 'b' }, 'logging_dir' => '/var/log/x', 'init_style' => 'sysv' }

  it { is_expected.to create_push_jobs_service('chef-push-jobs-client').with(manager: :sysv, environment: { 'LC_ALL' => 'C.UTF-8', 'A' => 'b' }, log_dir: '/var/log/x', client_key: CLIENT_KEY) }
end

describe 'push-jobs::install' do
  %w(package config service).each { |name| it { is_expected.to include_recipe("push-jobs::#{name}") } }
end

describe 'push-jobs::server' do
  context 'with what it needs' do
    default_attributes['push_jobs']['server'] = { 'org' => 'acme', 'admin' => 'alice', 'hosts' => ['push.example.com'], 'settings' => { 'http' => { 'port' => 443 } }, 'package_version' => '2' }

    it { is_expected.to install_push_jobs_install('push-jobs-server').with(part: :server, version: '2') }
    it { is_expected.to create_push_jobs_server('push-jobs-server').with(org: 'acme', admin: 'alice', hosts: ['push.example.com'], settings: { 'http' => { 'port' => 443 } }) }
  end

  context 'without' do
    default_attributes['push_jobs']['server'] = { 'users' => [], 'package_url' => 'https://example.com/x.deb' }

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /4 problems:\n.*server.org is not set\n.*server.admin is not set\n.*server.users is a list.*\n.*server.package_url has no package_checksum/) }
  end
end

describe 'push-jobs::knife' do
  it { is_expected.to install_push_jobs_install('push-jobs').with(part: :workstation) }
  it { is_expected.to install_chef_gem('knife-push').with(version: '2.0.1') }
end

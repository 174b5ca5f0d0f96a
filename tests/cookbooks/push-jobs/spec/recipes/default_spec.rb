require_relative '../spec_helper'

describe 'push-jobs::default' do
  PLATFORMS.each do |name, release|
    context "on #{name} #{release}" do
      platform name, release

      it { is_expected.to include_recipe('push-jobs::package') }
      it { is_expected.to install_push_jobs_install('push-jobs-agent') }
      it { is_expected.to create_push_jobs_whitelist('/etc/chef/push-jobs-whitelist.json').with(entries: { 'chef-client' => 'chef-client' }) }
      it { is_expected.to create_push_jobs_config('/etc/chef/push-jobs-client.yml').with(chef_server_url: SERVER_URL, node_name: 'web1', client_key: CLIENT_KEY) }
      it { is_expected.to start_push_jobs_service('chef-push-jobs-client') }
    end
  end
end

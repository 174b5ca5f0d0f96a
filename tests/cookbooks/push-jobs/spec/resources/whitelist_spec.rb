require_relative '../spec_helper'

describe 'push_jobs_whitelist' do
  step_into :push_jobs_whitelist
  let(:path) { '/etc/chef/push-jobs-whitelist.json' }

  context 'with entries of every form' do
    recipe do
      push_jobs_whitelist '/etc/chef/push-jobs-whitelist.json' do
        entries 'plain' => 'df -h', 'list' => ['echo', "it's"], off: false, 'gone' => nil, /restart (nginx|haproxy)/i => { command_line: 'systemctl restart \1', user: 'root' }
      end
    end

    it 'writes them in the form that the agent reads' do
      expect(JSON.parse(chef_run.file(path).content)).to eq(
        'plain' => 'df -h', 'list' => ['echo', "it's"], 'off' => false, 'gone' => nil,
        '/(?i)restart (nginx|haproxy)/' => { 'command_line' => 'systemctl restart \1', 'user' => 'root' }
      )
    end

    it { is_expected.to create_file(path).with(owner: 'root', group: 'root', mode: '0644') }
  end

  context 'with mistakes' do
    recipe do
      push_jobs_whitelist '/etc/chef/push-jobs-whitelist.json' do
        entries 'one' => 1, '/(/' => 'true'
      end
    end

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, %r{one: is a number.*/\(/: is not a pattern}) }
  end
end

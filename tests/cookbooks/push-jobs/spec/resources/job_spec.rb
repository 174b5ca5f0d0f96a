require_relative '../spec_helper'

describe 'push_jobs_job' do
  step_into :push_jobs_job
  whole = ['/usr/bin/push-jobs', 'job', 'start', '--format', 'json', '--quorum', '50%', '--timeout', '5m', '--user', 'me', '--dir', '/srv', '--file', '/srv/x', '--env', 'A=b c', '--capture', '--', '--odd', 'web1', 'web2']

  def answer(status, code)
    JSON.generate('id' => 'ab12', 'status' => status, 'nodes' => [{ 'name' => 'web1', 'status' => code.zero? ? 'succeeded' : 'failed', 'exit_code' => code, 'reason' => nil }])
  end

  context 'with everything given' do
    recipe do
      push_jobs_job '--odd' do
        nodes %w(web1 web2)
        quorum '50%'
        timeout '5m'
        run_as 'me'
        dir '/srv'
        env 'A' => 'b c'
        file '/srv/x'
        capture true
        ca_file '/etc/ca.pem'
      end
    end
    stubs_for_provider('push_jobs_job[--odd]') do |provider|
      allow(provider).to receive_shell_out(*whole, stdout: answer('complete', 0))
    end

    it { is_expected.to start_push_jobs_job('--odd') }

    it 'starts it as this node unless somebody else is given' do
      job = PushJobs::Cookbook::Job.new(chef_run.find_resource(:push_jobs_job, '--odd'))
      expect(job.environment).to include('PUSHJOBS_SERVER' => SERVER_URL, 'PUSHJOBS_USER' => 'web1', 'PUSHJOBS_KEY' => CLIENT_KEY, 'PUSHJOBS_CA' => '/etc/ca.pem')
    end
  end

  context 'when a node fails' do
    recipe { push_jobs_job('hello') { nodes 'web1' } }
    stubs_for_provider('push_jobs_job[hello]') do |provider|
      allow(provider).to receive_shell_out(*%w(/usr/bin/push-jobs job start --format json -- hello web1), exitstatus: 3, stdout: answer('complete', 7), stderr: 'warning: x')
    end

    it { expect { chef_run }.to raise_error(Chef::Exceptions::Exec, /exit code 3.*\njob ab12: complete\n  web1: failed, exit code 7\nwarning: x/) }
  end

  context 'without waiting' do
    recipe do
      push_jobs_job 'hello' do
        nodes 'web1'
        wait false
      end
    end
    stubs_for_provider('push_jobs_job[hello]') do |provider|
      allow(provider).to receive_shell_out(*%w(/usr/bin/push-jobs job start --format json --detach -- hello web1), stdout: '{"id": "ab12"}')
    end

    it { expect { chef_run }.not_to raise_error }
  end

  context 'without nodes' do
    recipe { push_jobs_job('hello') { nodes [] } }

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /must name at least one node/) }
  end
end

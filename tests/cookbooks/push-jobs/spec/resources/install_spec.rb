require_relative '../spec_helper'

describe 'push_jobs_install' do
  step_into :push_jobs_install
  sum = 'ab' * 32

  def stub_files(provider, installed)
    allow(provider).to receive_shell_out('dpkg-deb', '--show', '--showformat=${Package}\n${Version}\n', '/srv/push-jobs-agent_2_all.deb', stdout: "push-jobs-agent\n2\n")
    allow(provider).to receive_shell_out('dpkg-query', '--show', '--showformat=${db:Status-Status} ${Version}', 'push-jobs-agent', stdout: installed)
  end

  context 'from the package repositories' do
    recipe { push_jobs_install('x') { version '1.2' } }

    it { is_expected.to install_package('push-jobs-agent').with(version: '1.2') }
  end

  context 'with another part' do
    recipe { push_jobs_install('x') { part :server } }

    it { is_expected.to install_package('push-jobs-server') }
  end

  context 'from a file that is not installed' do
    stubs_for_provider('push_jobs_install[x]') { |provider| stub_files(provider, 'installed 1') }
    recipe { push_jobs_install('x') { local_package_path '/srv/push-jobs-agent_2_all.deb' } }

    it 'has apt find what it depends on, and ask nothing' do
      is_expected.to run_execute('install push-jobs-agent_2_all.deb')
        .with(command: array_including('apt-get', '--yes', 'Dpkg::Options::=--force-confold', '/srv/push-jobs-agent_2_all.deb'), environment: { 'DEBIAN_FRONTEND' => 'noninteractive' })
    end
  end

  context 'from a file, when the converge is itself a push job' do
    stubs_for_provider('push_jobs_install[x]') { |provider| stub_files(provider, 'installed 1') }
    recipe { push_jobs_install('x') { local_package_path '/srv/push-jobs-agent_2_all.deb' } }
    around do |example|
      ENV['CHEF_PUSH_JOB_ID'] = 'f' * 32
      example.run
    ensure
      ENV.delete('CHEF_PUSH_JOB_ID')
    end

    it 'says that the restart is pending' do
      expect(Chef::Log).to receive(:warn).with(/restart pending/)
      chef_run
    end
  end

  context 'from a file that is installed' do
    stubs_for_provider('push_jobs_install[x]') { |provider| stub_files(provider, 'installed 2') }
    recipe { push_jobs_install('x') { local_package_path '/srv/push-jobs-agent_2_all.deb' } }

    it { is_expected.not_to run_execute('install push-jobs-agent_2_all.deb') }
  end

  context 'from addresses' do
    platform 'rocky', '9'
    recipe do
      push_jobs_install 'x' do
        package_url %w(https://example.com/python3-push-jobs-wire-2.rpm https://example.com/push-jobs-agent-2.rpm?x=1)
        package_checksum [sum.upcase, sum]
      end
    end

    it 'fetches them with their sums, and installs them in this order' do
      wire, agent = chef_run.find_resources(:remote_file)
      expect([wire.checksum, agent.checksum]).to eq([sum, sum])
      expect(File.basename(agent.path)).to eq('push-jobs-agent-2.rpm')
      is_expected.to install_package('python3-push-jobs-wire').with(source: wire.path)
      is_expected.to install_package('push-jobs-agent').with(source: agent.path)
    end
  end

  context 'from an address without a sum' do
    recipe { push_jobs_install('x') { package_url 'https://example.com/push-jobs-agent_2_all.deb' } }

    it { expect { chef_run }.to raise_error(Chef::Exceptions::ValidationFailed, /package_url has no package_checksum/) }
  end

  context 'from a folder' do
    let(:folder) { Dir.mktmpdir }
    after { FileUtils.remove_entry(folder) }

    it 'takes the one file of each package, and refuses to choose' do
      %w(push-jobs-agent_2_all.deb python3-push-jobs-wire_2_all.deb push-jobs-server_2_all.deb).each { |name| FileUtils.touch(File.join(folder, name)) }
      files = PushJobs::Cookbook::Packages.files(folder, :agent)
      expect(files.map { |file| File.basename(file) }).to eq(%w(python3-push-jobs-wire_2_all.deb push-jobs-agent_2_all.deb))
      FileUtils.touch(File.join(folder, 'push-jobs-agent_3_all.deb'))
      expect { PushJobs::Cookbook::Packages.files(folder, :agent) }.to raise_error(Chef::Exceptions::Package, /several files .*_2_.*_3_/)
    end
  end

  context 'when told to remove it' do
    recipe { push_jobs_install('x') { action :remove } }

    it { is_expected.to remove_package('push-jobs-agent') }
  end

  context 'when told to upgrade it' do
    recipe { push_jobs_install('x') { action :upgrade } }

    it { is_expected.to upgrade_package('push-jobs-agent') }
  end
end

require_relative '../spec_helper'

describe 'PushJobs::Cookbook::AgentCheck' do
  failure = Chef::Exceptions::ValidationFailed
  let(:check) { PushJobs::Cookbook::AgentCheck }
  let(:folder) { Dir.mktmpdir }
  after { FileUtils.remove_entry(folder) }

  def words
    File.read(File.join(folder, 'words'))
  end

  # In the place of the agent: notes how it was called, and answers.
  def agent(answer)
    program = File.join(folder, 'pushy-client')
    File.write(program, "#!/bin/sh\necho \"$@\" >#{folder}/words\n#{answer}\n")
    File.chmod(0755, program)
    stub_const('PushJobs::Cookbook::AgentCheck::PROGRAM', program)
  end

  it 'gives the agent the new file, and nothing that could be wrong beside it' do
    agent('exit 0')
    expect(check.whitelist!('/new.json')).to be(true)
    expect(words).to match(%r{--check --config /dev/null --server https://localhost/organizations/check .*--whitelist /new.json$})
    expect(check.settings!('/new.yml')).to be(true)
    expect(words).to match(%r{--check --config /new.yml --whitelist /dev/stdin$})
  end

  it "fails in the agent's words" do
    agent('echo "x: unknown key" >&2; exit 43')
    expect { check.settings!('/new.yml') }.to raise_error(failure, /refuses the new settings; the old ones stay, and the agent runs on with them:\nx: unknown key/)
  end

  context 'without an agent' do
    before { stub_const('PushJobs::Cookbook::AgentCheck::PROGRAM', '/nowhere/pushy-client') }

    it { expect { check.whitelist!('/x') }.to raise_error(failure, /install the agent first/) }

    it 'lets why-run go on' do
      allow(Chef::Config).to receive(:[]).with(:why_run).and_return(true)
      expect(check.whitelist!('/x')).to be(true)
    end
  end
end

require_relative '../spec_helper'
require 'json'
require 'open3'

# The cookbook's rules and the agent's own, side by side on the same entries.
describe 'PushJobs::Cookbook::Whitelist' do
  root = File.expand_path('../../../../..', __dir__)
  agent = <<~PYTHON
    import json, sys
    from push_jobs_agent.runner.whitelist import read
    answers = []
    for case in json.load(sys.stdin):
        problems = []
        read(json.dumps(case).encode(), problems)
        answers.append(problems)
    json.dump(answers, sys.stdout)
  PYTHON

  right = {
    'a command line' => { 'x' => 'df -h' },
    'a quoted one' => { 'x' => %q(echo 'a b' "c") },
    'a list' => { 'x' => ['echo', ''] },
    'a mapping' => { 'x' => { 'command_line' => 'true', 'lock' => true, 'user' => 'root', 'dir' => '/', 'timeout' => 1.5, 'env' => { 'A' => 'b' }, 'capture_output' => false, 'options' => true } },
    'a mapping with a list' => { 'x' => { 'command_line' => %w(true x), 'lock' => '/run/x.lock' } },
    'options that are null' => { 'x' => { 'command_line' => 'true', 'user' => nil } },
    'a shell' => { 'x' => { 'command_line' => 'a | b "', 'shell' => true } },
    'entries switched off' => { 'x' => false, 'y' => nil },
    'a pattern' => { '/restart (nginx|haproxy)/' => 'systemctl restart \1' },
    "a pattern in Python's own words" => { '/(?P<name>[]a]+)\Z/' => ['echo', '\g<name>'] },
    'a lonely slash' => { '/' => 'true' },
    'a name with blanks' => { 'restart nginx' => 'true' },
    'nothing' => {},
  }
  wrong = {
    'a number' => { 'x' => 1 },
    'true' => { 'x' => true },
    'no text in the list' => { 'x' => ['echo', 1] },
    'an empty list' => { 'x' => [] },
    'an empty line' => { 'x' => ' ' },
    'an empty program' => { 'x' => "''" },
    'an open quote' => { 'x' => "echo 'a" },
    'a mapping without a command' => { 'x' => { 'user' => 'root' } },
    'an unknown option' => { 'x' => { 'command_line' => 'true', 'commandline' => 'x' } },
    'a list for a shell' => { 'x' => { 'command_line' => ['true'], 'shell' => true } },
    'a lock that is a relative path' => { 'x' => { 'command_line' => 'true', 'lock' => 'x' } },
    'a timeout of zero' => { 'x' => { 'command_line' => 'true', 'timeout' => 0 } },
    'a timeout that is text' => { 'x' => { 'command_line' => 'true', 'timeout' => '5' } },
    'a timeout that is true' => { 'x' => { 'command_line' => 'true', 'timeout' => true } },
    'variables that are numbers' => { 'x' => { 'command_line' => 'true', 'env' => { 'A' => 1 } } },
    'a variable with =' => { 'x' => { 'command_line' => 'true', 'env' => { 'A=' => 'b' } } },
    'an empty user' => { 'x' => { 'command_line' => 'true', 'user' => '' } },
    'a broken pattern' => { '/(/' => 'true' },
    "a pattern in Ruby's words" => { '/\h+\z/' => 'true' },
    'an empty pattern' => { '//' => 'true' },
    'an empty name' => { '' => 'true' },
    'a long name' => { 'x' * 1025 => 'true' },
    'a control character' => { "a\nb" => 'true' },
    'a list instead of a mapping' => %w(x y),
    'text instead of a mapping' => 'x',
  }

  before(:all) do
    done, status = Open3.capture2({ 'PYTHONPATH' => "#{root}/agent:#{root}/wire" }, '/usr/bin/python3', '-c', agent, stdin_data: JSON.generate([*right.values, *wrong.values]))
    raise 'the agent did not answer' unless status.success?

    @answers = [*right.keys, *wrong.keys].zip(JSON.parse(done)).to_h
  end

  def problems(entries)
    PushJobs::Cookbook::Whitelist.problems(PushJobs::Cookbook::Whitelist.normalize(entries))
  end

  right.each do |name, entries|
    it "takes #{name}, as the agent does" do
      expect([problems(entries), @answers[name]]).to eq([[], []])
    end
  end

  wrong.each do |name, entries|
    it "refuses #{name}, as the agent does" do
      expect([problems(entries).size, @answers[name].size]).to eq([1, 1])
    end
  end

  it 'finds gross mistakes in patterns where there is no Python yet' do
    allow(File).to receive(:executable?).and_call_original
    allow(File).to receive(:executable?).with('/usr/bin/python3').and_return(false)
    expect(problems('/(/' => 'true').size).to eq(1)
    expect(problems('/(?P<name>x)(?P=name)/' => 'true', '/(?is)x/' => 'true')).to eq([])
  end
end

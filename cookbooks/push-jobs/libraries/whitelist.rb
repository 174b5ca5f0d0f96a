require 'json'
require 'open3'
require 'shellwords'

module PushJobs
  module Cookbook
    # What a whitelist may say: brought into the form of the agent's file, and every mistake found.
    # The rules are those of the agent, which has the last word: it checks the file before it counts.
    module Whitelist
      FORMS = 'a command line, a list of arguments, a mapping with command_line, or false (switched off)'.freeze
      LONGEST_NAME = 1024

      # Read by Python, whose patterns they are; prints the mistake of each that is none.
      PATTERN_CHECK = <<~PYTHON.freeze
        import json, re, sys
        wrong = {}
        for pattern in json.load(sys.stdin):
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                wrong[pattern] = str(error)
        json.dump(wrong, sys.stdout)
      PYTHON

      OPTIONS = {
        'lock' => [->(value) { bool?(value) || path?(value) }, 'true, false or an absolute path'],
        'user' => [->(value) { text?(value) && !value.empty? }, 'the name of a user'],
        'dir' => [->(value) { path?(value) }, 'an absolute path'],
        'timeout' => [->(value) { value.is_a?(Numeric) && value > 0 && value.to_f.finite? }, 'a number of seconds above 0'],
        'env' => [->(value) { environment?(value) }, 'a mapping from variable names to texts (numbers in quotes)'],
        'capture_output' => [->(value) { bool?(value) }, 'true or false'],
        'shell' => [->(value) { bool?(value) }, 'true or false'],
        'options' => [->(value) { bool?(value) }, 'true or false'],
      }.freeze

      module_function

      # The whitelist as the file has it: plain hashes, names as text, a Regexp as /.../.
      def normalize(value)
        case value
        when Hash then value.each_with_object({}) { |(key, entry), all| all[name_of(key)] = normalize(entry) }
        when Array then value.map { |each| normalize(each) }
        when Symbol then value.to_s
        else value
        end
      end

      # Every mistake in a normalized whitelist, one text for each.
      def problems(entries)
        return ["is #{describe(entries)}, expected a mapping from job names to entries"] unless entries.is_a?(Hash)

        broken = pattern_problems(entries.keys.select { |key| pattern?(key) }.map { |key| key[1..-2] })
        entries.flat_map do |name, entry|
          found = name_problems(name, broken)
          found += entry_problems(entry) unless entry.nil? || entry == false
          found.map { |problem| "#{name}: #{problem}" }
        end
      end

      # True, or an error that names every mistake.
      def valid!(entries)
        found = problems(entries)
        return true if found.empty?

        raise Chef::Exceptions::ValidationFailed, "the whitelist has mistakes: #{found.join('; ')}"
      end

      def name_of(key)
        return key.to_s unless key.is_a?(Regexp)

        flags = (key.options & Regexp::IGNORECASE).zero? ? '' : '(?i)'
        "/#{flags}#{key.source}/"
      end

      def pattern?(name)
        name.length > 1 && name.start_with?('/') && name.end_with?('/')
      end

      def name_problems(name, broken)
        return ['is an empty pattern, expected /.../'] if name == '//'
        return broken.key?(name[1..-2]) ? ["is not a pattern: #{broken[name[1..-2]]}"] : [] if pattern?(name)
        return ["the name has #{name.bytesize} bytes; 1 to #{LONGEST_NAME} are possible"] unless name.bytesize.between?(1, LONGEST_NAME)

        name.match?(/[\u0000-\u001f\u007f-\u009f]/) ? ['the name holds a control character'] : []
      end

      def entry_problems(entry)
        entry = { 'command_line' => entry } if entry.is_a?(String) || entry.is_a?(Array)
        return ["is #{describe(entry)}, expected #{FORMS}"] unless entry.is_a?(Hash)

        option_problems(entry) + command_problems(entry['command_line'], entry['shell'] == true)
      end

      def option_problems(entry)
        entry.reject { |key, value| key == 'command_line' || (OPTIONS.key?(key) && value.nil?) }.filter_map do |key, value|
          valid, expected = OPTIONS[key]
          if valid.nil?
            "#{key}: is not known; expected one of #{['command_line', *OPTIONS.keys].join(', ')}"
          elsif !valid.call(value)
            "#{key}: is #{describe(value)}, expected #{expected}"
          end
        end
      end

      def command_problems(command, shell)
        problem = command.is_a?(Array) ? list_problem(command, shell) : line_problem(command, shell)
        problem ? ["command_line: #{problem}"] : []
      end

      def list_problem(words, shell)
        return 'is a list, expected text, because shell is true' if shell
        return 'expected nothing but texts in the list' unless words.all? { |word| text?(word) }

        'names no program' if words.first.to_s.empty?
      end

      def line_problem(command, shell)
        return "is #{describe(command)}, expected a command line or a list of arguments" unless command.is_a?(String)
        return 'holds a character that no process can be given' unless text?(command)
        return 'is empty, expected a command' if command.strip.empty?

        'names no program' if !shell && Shellwords.split(command).first.to_s.empty?
      rescue ArgumentError
        'has a quotation mark without its second one'
      end

      # Pattern => mistake. Without Python, which comes with the agent, Ruby finds the gross ones.
      def pattern_problems(patterns)
        return {} if patterns.empty?

        python = '/usr/bin/python3'
        return patterns.each_with_object({}) { |each, wrong| ruby_problem(each)&.then { |text| wrong[each] = text } } unless ::File.executable?(python)

        answer, _, status = Open3.capture3(python, '-I', '-c', PATTERN_CHECK, stdin_data: JSON.generate(patterns))
        status.success? ? JSON.parse(answer) : {}
      end

      def ruby_problem(pattern)
        Regexp.new(pattern.gsub('(?P<', '(?<').gsub(/\(\?P=(\w+)\)/) { "\\k<#{Regexp.last_match(1)}>" }.gsub(/\(\?[aiLmsux]+\)/, ''))
        nil
      rescue RegexpError => e
        e.message
      end

      def describe(value)
        case value
        when nil then 'null'
        when true, false then value.to_s
        when String then 'text'
        when Array then 'a list'
        when Hash then 'a mapping'
        when Numeric then 'a number'
        else "a #{value.class}"
        end
      end

      def bool?(value)
        [true, false].include?(value)
      end

      def text?(value)
        value.is_a?(String) && !value.include?("\0") && value.dup.force_encoding('UTF-8').valid_encoding?
      end

      def path?(value)
        text?(value) && value.start_with?('/')
      end

      def environment?(value)
        value.is_a?(Hash) && value.all? { |name, text| text?(name) && !name.empty? && !name.include?('=') && text?(text) }
      end
    end
  end
end

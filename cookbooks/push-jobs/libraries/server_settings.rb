require 'mixlib/shellout'
require 'yaml'

module PushJobs
  module Cookbook
    # The settings file of a server: what is in it, with what a recipe wants above it.
    module ServerSettings
      # What has to be so in a mapping of users or clients.
      WITH_KEYS = {
        'must have a public_key each' => ->(value) { value.values.all? { |entry| entry.is_a?(Hash) && entry['public_key'].is_a?(String) } },
      }.freeze

      module_function

      # The settings that the file should have, or nil when it has them already.
      def merged(path, wanted)
        there = ::File.exist?(path) ? YAML.safe_load(::File.read(path)) || {} : {}
        settings = merge(there, wanted)
        settings unless settings == there
      end

      # Sections are merged, lists are not: a list that is given is the whole list.
      def merge(there, wanted)
        there.merge(wanted) { |_, old, new| old.is_a?(Hash) && new.is_a?(Hash) ? merge(old, new) : new }
      end

      # Asks the server itself about a file before it replaces anything.
      def check!(path)
        done = Mixlib::ShellOut.new(['push-jobs-server', '--data-dir', path, 'show-config']).run_command
        return true unless done.error?

        raise Chef::Exceptions::ValidationFailed, "push-jobs: the server refuses the new settings; the old ones stay:\n#{done.stderr.strip}"
      end

      # Options for the members of a group that are not in it yet.
      def missing_members(entry, shown)
        %w(user client group).flat_map do |kind|
          (Array(entry["#{kind}s"]) - Array(shown["#{kind}s"])).flat_map { |name| ["--#{kind}", name] }
        end
      end
    end
  end
end

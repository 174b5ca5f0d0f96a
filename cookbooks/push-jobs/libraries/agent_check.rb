require 'open3'

module PushJobs
  module Cookbook
    # Asks the agent itself about a file before the file replaces anything.
    module AgentCheck
      PROGRAM = '/usr/bin/pushy-client'.freeze

      module_function

      # Settings alone: whatever whitelist they name has a check of its own.
      def settings!(path)
        run!('settings', ['--config', path, '--whitelist', '/dev/stdin'])
      end

      # A whitelist alone: with settings that can't be wrong.
      def whitelist!(path)
        run!('whitelist', ['--config', '/dev/null', '--server', 'https://localhost/organizations/check', '--client-key', '/dev/null', '--whitelist', path])
      end

      def run!(what, options)
        # Unlike Chef's own way to run commands it bears one that ends before it has read anything.
        _, words, status = Open3.capture3(PROGRAM, '--check', *options, stdin_data: '{}')
        return true if status.success?

        raise Chef::Exceptions::ValidationFailed, "push-jobs: the agent refuses the new #{what}; the old ones stay, and the agent runs on with them:\n#{words.scrub.strip}"
      rescue Errno::ENOENT
        # Why-run has only told of the package that would bring it.
        return true if Chef::Config[:why_run]

        raise Chef::Exceptions::ValidationFailed, "push-jobs: #{PROGRAM} is not there to check the new #{what}: install the agent first (push_jobs_install, or recipe push-jobs::package)"
      end
    end
  end
end

module PushJobs
  module Cookbook
    # What the old cookbook and the old client left on a node.
    module OldClient
      UNIT = '/etc/systemd/system/chef-push-jobs-client.service'.freeze
      SETTINGS = '/etc/chef/push-jobs-client.rb'.freeze
      SCRIPTS = %w(/etc/init/chef-push-jobs-client.conf /etc/init.d/chef-push-jobs-client.conf).freeze
      RUNIT = %w(opscode-push-jobs-client chef-push-jobs-client).freeze

      module_function

      # The unit file that the old cookbook wrote: it starts the agent with settings in Ruby.
      def unit?
        ::File.file?(UNIT) && ::File.read(UNIT).match?(/^ExecStart=.*\.rb\b/)
      end

      # Whether this process reads settings in Ruby.
      def process?(pid)
        pid > 0 && ::File.read("/proc/#{pid}/cmdline").split("\0").any? { |word| word.end_with?('.rb') }
      rescue SystemCallError
        false
      end

      def runit
        RUNIT.select { |name| ::File.directory?("/etc/sv/#{name}") }
      end

      def there?
        unit? || !runit.empty?
      end

      # The agent takes the place of the old client, which would end its job: this very converge.
      def problems
        return [] unless there? && ENV.key?('CHEF_PUSH_JOB_ID')

        ['this converge is a job of the old push jobs client, which it would replace: run chef-client once by other means (ssh, its own timer)']
      end
    end
  end
end

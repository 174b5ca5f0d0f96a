module PushJobs
  module Cookbook
    # The services of the agent, and the text of what is added to their units.
    module Units
      SESSION = 'chef-push-jobs-client'.freeze
      RUNNER = 'chef-push-jobs-runner'.freeze
      SERVER = 'push-jobs-server'.freeze # its user has this name, too
      SERVER_DATA = '/var/lib/push-jobs-server'.freeze
      NOTE = "# Written by Chef (cookbook push-jobs); changes here are lost.\n".freeze

      # What the unit of the session may write already.
      LOG_DIR = '/var/log/chef'.freeze

      module_function

      def drop_in(unit)
        "/etc/systemd/system/#{unit}.service.d/10-push-jobs.conf"
      end

      # Lines for the session, or nil when the unit is right as it is.
      def session(client_key, log_dir)
        lines = []
        lines += ['LoadCredential=', "LoadCredential=client_key:#{escape(client_key)}"] unless client_key == Identity::CLIENT_KEY
        lines << "ReadWritePaths=-\"#{escape(log_dir)}\"" unless log_dir.nil? || log_dir == LOG_DIR
        service(lines)
      end

      # Lines for the runner, whose environment is that of its jobs.
      def runner(environment)
        service(environment.compact.sort.map { |name, value| "Environment=\"#{escape("#{name}=#{value}")}\"" })
      end

      def service(lines)
        lines.empty? ? nil : "#{NOTE}[Service]\n#{lines.join("\n")}\n"
      end

      # Text inside a value of a unit: no specifier, no escape, no end of line is read in it.
      def escape(text)
        text.gsub(/[\\"]/) { |sign| "\\#{sign}" }.gsub('%', '%%').gsub("\n", '\\n')
      end

      # The job that this converge is, or nil.
      def own_job
        ENV['CHEF_PUSH_JOB_ID']
      end

      # What a restart that was asked for means to the reader of the log.
      def restart_notice
        return 'push-jobs: restart requested: the session restarts now, the runner when no job runs' if own_job.nil?

        "push-jobs: restart pending: this converge is the push job #{own_job}, which goes on; the session restarts by itself, the runner when the job has ended"
      end
    end
  end
end

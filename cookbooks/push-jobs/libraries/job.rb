require 'json'

module PushJobs
  module Cookbook
    # The command line of a job, and what its answer means.
    class Job
      PROGRAM = '/usr/bin/push-jobs'.freeze
      OPTIONS = { quorum: '--quorum', timeout: '--timeout', run_as: '--user', dir: '--dir', file: '--file' }.freeze
      TARGET = { server: 'PUSHJOBS_SERVER', user: 'PUSHJOBS_USER', key: 'PUSHJOBS_KEY', ca_file: 'PUSHJOBS_CA', fingerprint: 'PUSHJOBS_FINGERPRINT' }.freeze

      def initialize(resource)
        @resource = resource
      end

      # Names stand after --, so none is read as an option.
      def words
        words = [PROGRAM, 'job', 'start', '--format', 'json']
        OPTIONS.each { |name, option| words += [option, @resource.send(name).to_s] unless @resource.send(name).nil? }
        @resource.env.each { |name, value| words += ['--env', "#{name}=#{value}"] }
        words << '--capture' if @resource.capture
        words << '--detach' unless @resource.wait
        words + ['--', @resource.command, *@resource.nodes]
      end

      def environment
        TARGET.to_h { |name, variable| [variable, @resource.send(name)] }
      end

      # Raises unless every chosen node succeeded.
      def check!(done)
        return unless done.error?

        text = [summary(done.stdout), done.stderr.strip].compact.reject(&:empty?).join("\n")
        raise Chef::Exceptions::Exec, "push_jobs_job[#{@resource.command}] did not succeed everywhere (exit code #{done.exitstatus}, see push-jobs help exit-codes):\n#{text}"
      end

      # One line for the job and one for each node, nil when nothing was answered.
      def summary(answer)
        document = JSON.parse(answer)
        lines = ["job #{document['id']}: #{document['status'] || 'started'}"]
        lines += (document['nodes'] || []).map { |node| "  #{node['name']}: #{[node['status'], node['reason'], ("exit code #{node['exit_code']}" if node['exit_code'])].compact.join(', ')}" }
        lines.join("\n")
      rescue JSON::ParserError
        nil
      end
    end
  end
end

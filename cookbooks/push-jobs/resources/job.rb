unified_mode true

provides :push_jobs_job
resource_name :push_jobs_job
description 'Starts a job through the command push-jobs and waits for its end. Like any command it runs at each converge: use guards or notifications.'

property :command, String,
         name_property: true,
         description: 'The name on the whitelists of the nodes.'
property :nodes, [String, Array],
         coerce: proc { |value| Array(value) },
         required: true,
         callbacks: { 'must name at least one node' => ->(value) { !value.empty? } },
         description: 'The nodes that run it.'
property :quorum, [Integer, String],
         callbacks: { 'must be a number of nodes or a percentage' => ->(value) { value.to_s.match?(/\A[0-9]+%?\z/) } },
         description: 'How many must be ready: a number or a percentage; unset means all.'
property :timeout, [Integer, String],
         description: 'Time that the command may run: seconds, or 30s, 5m, 2h; unset means the default of the server.'
property :run_as, String,
         description: 'User on the nodes.'
property :dir, String,
         description: 'Directory on the nodes.'
property :env, Hash,
         default: {},
         description: 'Variables for the command.'
property :file, String,
         description: 'A file on this machine that is sent along.'
property :capture, [true, false],
         default: false,
         description: 'Keep the output.'
property :wait, [true, false],
         default: true,
         description: 'Wait for the end, and fail unless every node succeeded.'
property :server, String,
         default: lazy { PushJobs::Cookbook::Identity.server_url },
         description: 'Address of the server with its organization.'
property :user, String,
         default: lazy { PushJobs::Cookbook::Identity.node_name },
         description: 'Who starts the job.'
property :key, String,
         default: lazy { PushJobs::Cookbook::Identity.client_key },
         description: 'Private key of that user.'
property :ca_file, String,
         description: 'CA certificate of the server.'
property :fingerprint, String,
         description: 'Fingerprint of that certificate, instead of ca_file.'

action :start do
  description 'Start the job.'
  converge_by "start the job #{new_resource.command} on #{new_resource.nodes.join(', ')}" do
    job = PushJobs::Cookbook::Job.new(new_resource)
    done = shell_out(*job.words, environment: job.environment, timeout: 7 * 24 * 3600)
    job.check!(done)
    Chef::Log.info("push-jobs: #{job.summary(done.stdout)}")
  rescue Errno::ENOENT
    raise Chef::Exceptions::Exec, 'push_jobs_job: the command push-jobs is not there; install it first (push_jobs_install with part :workstation, or recipe push-jobs::knife)'
  end
end

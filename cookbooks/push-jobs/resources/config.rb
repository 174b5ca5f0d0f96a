unified_mode true

provides :push_jobs_config
resource_name :push_jobs_config
description 'Writes the settings of the agent, after the agent has checked them. What is not given comes from the Chef client.'

property :path, String,
         name_property: true,
         description: 'The file to write.'
property :group, String,
         default: 'push-jobs-client',
         description: 'The group that may read it: that of the session.'
property :chef_server_url, String,
         default: lazy { PushJobs::Cookbook::Identity.server_url },
         description: 'Address of the server with its organization.'
property :node_name, String,
         default: lazy { PushJobs::Cookbook::Identity.node_name },
         description: 'Name of this node.'
property :client_key, String,
         default: lazy { PushJobs::Cookbook::Identity.client_key },
         description: 'Private key of this node.'
property :trusted_certs_dir, String,
         default: lazy { PushJobs::Cookbook::Identity.trusted_certs },
         description: 'Folder with more certificates to trust.'
property :ca_file, String,
         description: 'Trust only the certificates in this file.'
property :http_proxy, [String, nil],
         sensitive: true,
         default: lazy { PushJobs::Cookbook::Identity.proxy('http') },
         description: 'Proxy for http, with user and password in its address if it needs them.'
property :https_proxy, [String, nil],
         sensitive: true,
         default: lazy { PushJobs::Cookbook::Identity.proxy('https') },
         description: 'Proxy for https.'
property :no_proxy, [String, nil],
         default: lazy { PushJobs::Cookbook::Identity.no_proxy },
         description: 'Hosts that are reached without a proxy.'
property :whitelist_path, String,
         default: '/etc/chef/push-jobs-whitelist.json',
         description: 'Where the whitelist is.'
property :start_runner, [true, false],
         default: lazy { !ChefUtils.systemd? },
         description: 'Whether the session starts the runner itself: only where systemd does not.'
property :log_level, String,
         equal_to: PushJobs::Cookbook::Validation::LOG_LEVELS,
         default: 'info',
         description: 'How much is logged.'
property :log_dir, String,
         description: 'Folder for push-jobs-client.log; unset means the journal.'
property :log_size, [Integer, String],
         description: 'Size at which the log file is rotated, as 100M; unset leaves it to the package.'
property :log_keep, Integer,
         description: 'Rotated log files that are kept; unset leaves it to the package.'
property :allow_unencrypted, [true, false],
         default: false,
         description: 'Accept a server that offers no encryption.'
property :pushy, [true, false],
         default: true,
         description: 'Whether there is a session with a push jobs server; without it chef_server_url counts for nothing, and shovey_url is needed.'
property :shovey_url, String,
         description: 'Root of a server whose jobs come over Serf; unset means that none do.'
property :serf_addr, String,
         description: 'RPC address of the Serf agent of this node.'
property :serf_auth_key, String,
         sensitive: true,
         description: 'RPC key of that agent.'
property :sign_pub_key, String,
         description: 'File with the public key with which commands over Serf are checked.'
property :time_slew, [Integer, Float],
         description: 'How many seconds old, or ahead, a command over Serf may be.'
property :settings, Hash,
         default: {},
         description: 'More settings of the agent by their own names; they win.'

action_class do
  def settings
    names = %i(chef_server_url node_name client_key trusted_certs_dir ca_file http_proxy https_proxy no_proxy start_runner log_level allow_unencrypted
               shovey_url serf_addr serf_auth_key sign_pub_key time_slew)
    names.delete(:chef_server_url) unless new_resource.pushy
    given = names.to_h { |name| [name.to_s, new_resource.send(name)] }
    given['whitelist'] = new_resource.whitelist_path
    given['log_location'] = log_file if new_resource.log_dir
    given.merge(PushJobs::Cookbook::Whitelist.normalize(new_resource.settings)).compact
  end

  def log_file
    ::File.join(new_resource.log_dir, 'push-jobs-client.log')
  end

  def create_log
    directory new_resource.log_dir do
      mode '0755'
      recursive true
    end

    # Also one that is there already: the old client, who was root, wrote the same file.
    file log_file do
      owner new_resource.group
      group 'adm'
      mode '0640'
    end

    rotate_log unless new_resource.log_size.nil? && new_resource.log_keep.nil? && new_resource.log_dir == PushJobs::Cookbook::Units::LOG_DIR
  end

  # In the place of the package's own rules: two for one file would shut each other out.
  def rotate_log
    template '/etc/logrotate.d/push-jobs-agent' do
      cookbook 'push-jobs'
      source 'logrotate.erb'
      mode '0644'
      variables(file: log_file, user: new_resource.group, size: new_resource.log_size || '100M', keep: new_resource.log_keep || 10, unit: PushJobs::Cookbook::Units::SESSION)
    end
  end
end

action :create do
  description 'Write the file, and make its folder and that of the log.'
  directory ::File.dirname(new_resource.path) do
    owner 'root'
    group 'root'
    mode '0755'
    recursive true
  end

  create_log if new_resource.log_dir

  file new_resource.path do
    content PushJobs::Cookbook::Units::NOTE + YAML.dump(settings)
    owner 'root'
    group new_resource.group
    mode '0640'
    sensitive true
    verify { |path| PushJobs::Cookbook::AgentCheck.settings!(path) }
  end
end

action :delete do
  description 'Remove the file.'
  file new_resource.path do
    action :delete
  end
end

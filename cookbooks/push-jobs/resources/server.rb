unified_mode true

provides :push_jobs_server
resource_name :push_jobs_server
description 'Prepares a push jobs server once, writes its settings and keeps it running.'

property :org, String,
         required: [:create],
         description: 'The first organization.'
property :admin, String,
         required: [:create],
         description: 'Its administrator.'
property :admin_key, String,
         description: 'Where the private key of the administrator is written, once; unset means /root/push-jobs-ADMIN.pem.'
property :hosts, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'Names and addresses of the server for its certificate; the first one is told to agents. Empty means the full name of the machine.'
property :settings, Hash,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         default: {},
         description: 'Settings that differ from their defaults, with sections as mappings (docs/settings-server.md).'
property :serf, Hash,
         sensitive: true,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         description: 'The section `serf` of the settings, when jobs go over Serf, too: { address, auth_key, query_size_limit }, each if wanted. organization is org.'
property :organizations, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'More organizations.'
property :users, Hash,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         default: {},
         callbacks: PushJobs::Cookbook::ServerSettings::WITH_KEYS,
         description: 'Users: name => { orgs, admin, public_key }; public_key is a path or PEM text.'
property :clients, Hash,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         default: {},
         callbacks: PushJobs::Cookbook::ServerSettings::WITH_KEYS,
         description: 'Clients (nodes): name => { org, public_key }.'
property :groups, Hash,
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         default: {},
         description: 'Groups: name => { org, users, clients, groups }; members are added, never taken away.'

default_action %i(create enable start)

action_class do
  # As the user of the service: files of the database that another one makes would shut it out.
  def asked(*words)
    shell_out('push-jobs-server', *words, user: PushJobs::Cookbook::Units::SERVER, group: PushJobs::Cookbook::Units::SERVER)
  end

  def administer(what, *words)
    execute what do
      command ['push-jobs-server', *words]
      user PushJobs::Cookbook::Units::SERVER
      group PushJobs::Cookbook::Units::SERVER
    end
  end

  def org_of(entry)
    entry['org'] || new_resource.org
  end

  # The path of a public key that is given as a path or as text.
  def public_key(kind, name, text)
    return text if text.to_s.start_with?('/')

    # The user of the service reads it, who may not read the cache of the Chef client.
    directory '/etc/push-jobs-server' do
      mode '0755'
    end
    path = "/etc/push-jobs-server/#{kind}-#{name}.pub"
    file path do
      content text
      mode '0644'
    end
    path
  end

  def prepare
    words = ['init', '--org', new_resource.org, '--admin', new_resource.admin, '--admin-key', new_resource.admin_key || "/root/push-jobs-#{new_resource.admin}.pem"]
    words += new_resource.hosts.flat_map { |host| ['--host', host] }
    execute 'prepare the push jobs server' do
      command ['push-jobs-server', *words]
      not_if { ::File.exist?(::File.join(PushJobs::Cookbook::Units::SERVER_DATA, 'ca.crt')) }
    end
    execute 'give the data of the push jobs server to its user' do
      command ['chown', '-R', "#{PushJobs::Cookbook::Units::SERVER}:#{PushJobs::Cookbook::Units::SERVER}", PushJobs::Cookbook::Units::SERVER_DATA]
      only_if { ::File.exist?(PushJobs::Cookbook::Units::SERVER_DATA) && ::File.stat(::File.join(PushJobs::Cookbook::Units::SERVER_DATA, 'ca.crt')).uid == 0 }
    end
  end

  def wanted_settings
    return new_resource.settings if new_resource.serf.nil?

    PushJobs::Cookbook::ServerSettings.merge({ 'serf' => { 'organization' => new_resource.org }.merge(new_resource.serf) }, new_resource.settings)
  end

  # What init wrote, with what is given above it; comments are lost only when something changes.
  def write_settings
    path = ::File.join(PushJobs::Cookbook::Units::SERVER_DATA, 'settings.yml')
    settings = PushJobs::Cookbook::ServerSettings.merged(path, wanted_settings)
    return if settings.nil?

    file path do
      content PushJobs::Cookbook::Units::NOTE + YAML.dump(settings)
      owner PushJobs::Cookbook::Units::SERVER
      group PushJobs::Cookbook::Units::SERVER
      mode '0600'
      sensitive true
      verify { |candidate| PushJobs::Cookbook::ServerSettings.check!(candidate) }
      notifies :restart, "service[#{PushJobs::Cookbook::Units::SERVER}]", :delayed
    end
  end

  # For nodes over Serf, and for whoever tells it to them.
  def publish_serf_key
    # Why-run has only told of the package that would bring the program.
    return if whyrun_mode?

    shown = asked('serf-key')
    shown.error!
    directory ::File.dirname(PushJobs::Cookbook::Serf::SERVER_KEY_FILE) do
      mode '0755'
    end
    file PushJobs::Cookbook::Serf::SERVER_KEY_FILE do
      content shown.stdout
      mode '0644'
    end
  end

  def create_users
    new_resource.users.each do |name, entry|
      next unless asked('user', 'show', name).error?

      orgs = Array(entry['orgs'] || new_resource.org).flat_map { |org| ['--org', org] }
      administer("make the user #{name}", 'user', 'create', name, *orgs, *('--admin' if entry['admin']), '--public-key', public_key('user', name, entry['public_key']))
    end
  end

  def create_clients
    new_resource.clients.each do |name, entry|
      next unless asked('client', 'show', name, '--org', org_of(entry)).error?

      administer("make the client #{name}", 'client', 'create', name, '--org', org_of(entry), '--public-key', public_key('client', name, entry['public_key']))
    end
  end

  def create_groups
    new_resource.groups.each do |name, entry|
      shown = asked('group', 'show', name, '--org', org_of(entry), '--format', 'json')
      administer("make the group #{name}", 'group', 'create', name, '--org', org_of(entry)) if shown.error?
      missing = PushJobs::Cookbook::ServerSettings.missing_members(entry, shown.error? ? {} : JSON.parse(shown.stdout))
      administer("fill the group #{name}", 'group', 'add', name, '--org', org_of(entry), *missing) unless missing.empty?
    end
  end
end

action :create do
  description 'Make the data directory if there is none, write settings, and make who and what is given.'
  service PushJobs::Cookbook::Units::SERVER do
    action :nothing
  end
  prepare
  write_settings
  publish_serf_key unless new_resource.serf.nil?
  new_resource.organizations.each { |name| administer("make the organization #{name}", 'org', 'create', name) if asked('org', 'show', name).error? }
  create_users
  create_clients
  create_groups
end

action :enable do
  description 'Start the server when the machine starts.'
  service PushJobs::Cookbook::Units::SERVER do
    action :enable
  end
end

action :start do
  description 'Start the server.'
  service PushJobs::Cookbook::Units::SERVER do
    action :start
  end
end

action :restart do
  description 'Restart the server; jobs go on.'
  service PushJobs::Cookbook::Units::SERVER do
    action :restart
  end
end

action :stop do
  description 'Stop the server.'
  service PushJobs::Cookbook::Units::SERVER do
    action :stop
  end
end

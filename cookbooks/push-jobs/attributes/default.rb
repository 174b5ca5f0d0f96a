# The text above each attribute is its line in docs/cookbook-attributes.md; scripts/docs reads this file, so each stands on one line.

## What may run
# The jobs of this node: name => command line, list of arguments, mapping with `command_line`, or false (switched off). Levels merge: role, environment and node add up.
default['push_jobs']['whitelist'] = { 'chef-client' => 'chef-client' }
# Where the whitelist is written.
default['push_jobs']['whitelist_path'] = '/etc/chef/push-jobs-whitelist.json'
# Variables that every job finds in its environment.
default['push_jobs']['environment_variables'] = { 'LC_ALL' => 'C.UTF-8' }
# Users that a job may ask to run as, where its whitelist entry names none.
default['push_jobs']['allowed_users'] = []
# Variables that a job may set by their own names; nil means all harmless ones.
default['push_jobs']['allowed_overwritable_env_vars'] = nil
# Lock file of entries that say only `lock: true`; nil means that of chef-client.
default['push_jobs']['lockfile'] = nil

## Package
# Address of the package, or a list of addresses: the agent and `python3-push-jobs-wire`, which it needs.
default['push_jobs']['package_url'] = nil
# SHA-256 of the package (a list for a list of packages). Needed with `package_url`, checked with `local_package_path`.
default['push_jobs']['package_checksum'] = nil
# Package files that are on the node already: a path, a list of paths, or a folder that holds the packages. Used only without `package_url`.
default['push_jobs']['local_package_path'] = nil
# Version to install from the package repositories of the node; nil takes what is there, and leaves an installed one alone.
default['push_jobs']['package_version'] = nil

## Identity and server
# Address of the server with its organization, `https://HOST/organizations/ORG`; nil means that of the Chef client.
default['push_jobs']['chef']['chef_server_url'] = nil
# Name of this node; nil means that of the Chef client.
default['push_jobs']['chef']['node_name'] = nil
# Private key of this node; nil means that of the Chef client.
default['push_jobs']['chef']['client_key_path'] = nil
# Folder with more certificates to trust; nil means that of the Chef client.
default['push_jobs']['chef']['trusted_certs_path'] = nil
# Trust only the certificates in this file.
default['push_jobs']['chef']['ca_file'] = nil
# Accept a server that offers no encryption.
default['push_jobs']['allow_unencrypted'] = false

## Proxies
# Proxy for http; nil means that of the Chef client.
default['push_jobs']['proxy']['http']['url'] = nil
# User for it.
default['push_jobs']['proxy']['http']['user'] = nil
# Password for it.
default['push_jobs']['proxy']['http']['pass'] = nil
# Proxy for https; nil means that of the Chef client.
default['push_jobs']['proxy']['https']['url'] = nil
# User for it.
default['push_jobs']['proxy']['https']['user'] = nil
# Password for it.
default['push_jobs']['proxy']['https']['pass'] = nil
# Hosts that are reached without a proxy; nil means those of the Chef client.
default['push_jobs']['no_proxy'] = nil

## Logging
# debug, info, warn, error or fatal.
default['push_jobs']['logging_level'] = 'info'
# Folder for `push-jobs-client.log`; nil means the journal (without systemd: /var/log/chef).
default['push_jobs']['logging_dir'] = nil
# Size at which the log file is rotated, as 100M; nil leaves it to the package.
default['push_jobs']['log_rotation']['file_maxbytes'] = nil
# Rotated log files that are kept; nil leaves it to the package.
default['push_jobs']['log_rotation']['num_to_keep'] = nil

## The agent
# Where files that come with jobs are stored; nil means below the state folder.
default['push_jobs']['file_dir'] = nil
# Largest message that the agent sends, in bytes.
default['push_jobs']['max_body_size'] = nil
# Output kept of each channel of a job, in bytes.
default['push_jobs']['output_limit'] = nil
# Seconds that a stopping agent waits for its job; the job goes on after that.
default['push_jobs']['drain_timeout'] = nil
# More settings of the agent by their own names (docs/settings-agent.md).
default['push_jobs']['settings'] = {}
# How the agent is supervised: systemd or sysv (a script with a pid file); nil finds out.
default['push_jobs']['init_style'] = nil

## Jobs over Serf
# Take jobs over Serf, from a server of ours or a goiardi. Without it none of the attributes below is looked at, except by a server.
default['push_jobs']['serf']['enabled'] = false
# Root of that server, as `https://push.example.com:10003/`; needed when enabled.
default['push_jobs']['serf']['url'] = nil
# Public key with which commands are checked: what `push-jobs-server serf-key` prints, or the path of a file with it; needed when enabled.
default['push_jobs']['serf']['sign_pub_key'] = nil
# How many seconds old, or ahead, a command may be.
default['push_jobs']['serf']['time_slew'] = nil
# Also hold the session with the push jobs server that `chef.chef_server_url` names. Without it the agent takes jobs over Serf alone.
default['push_jobs']['serf']['pushy'] = true
# Install, configure and run Serf from the package of Debian and Ubuntu, under the name of the node. False where Serf is run by other means: then only `rpc_address` and `rpc_auth_key` count.
default['push_jobs']['serf']['install'] = true
# Where the Serf agent listens for programs of this machine.
default['push_jobs']['serf']['rpc_address'] = '127.0.0.1:7373'
# Key that these have to know; needed where others can reach that address.
default['push_jobs']['serf']['rpc_auth_key'] = nil
# IP address at which it listens for the cluster, with a port if not 7946; nil means all addresses.
default['push_jobs']['serf']['bind'] = nil
# Addresses of members of the cluster, such as the server's; tried until one answers.
default['push_jobs']['serf']['join'] = []
# Key of the cluster, the same on all members: base64 of 16, 24 or 32 bytes, as `serf keygen` makes it.
default['push_jobs']['serf']['encrypt_key'] = nil
# Largest query in bytes, up to 1380; nil means 1024. It counts on the server: a larger one reaches more nodes at once.
default['push_jobs']['serf']['query_size_limit'] = nil
# More of Serf's own settings, by their names in its JSON file.
default['push_jobs']['serf']['settings'] = {}

## Server (recipe server)
# Address of the package, or a list: the server and `python3-push-jobs-wire`.
default['push_jobs']['server']['package_url'] = nil
# SHA-256 of the package (a list for a list).
default['push_jobs']['server']['package_checksum'] = nil
# Package files that are there already: a path, a list of paths, or a folder.
default['push_jobs']['server']['local_package_path'] = nil
# Version to install from the package repositories.
default['push_jobs']['server']['package_version'] = nil
# The first organization; needed.
default['push_jobs']['server']['org'] = nil
# Its administrator; needed.
default['push_jobs']['server']['admin'] = nil
# Where the administrator's private key is written, once; nil means /root/push-jobs-ADMIN.pem.
default['push_jobs']['server']['admin_key_path'] = nil
# Names and addresses of the server, for its certificate; the first one is told to agents. nil means the full name of the machine.
default['push_jobs']['server']['hosts'] = nil
# Settings of the server that differ from their defaults, with sections as mappings (docs/settings-server.md).
default['push_jobs']['server']['settings'] = {}
# Send jobs over Serf, too, to the nodes of `server.org`; the Serf agent of the server is set up by the attributes below `serf`.
default['push_jobs']['server']['serf'] = false
# More organizations.
default['push_jobs']['server']['organizations'] = []
# Users: name => mapping with `public_key` (a path or PEM text) and, if wanted, `orgs` (a list) and `admin` (true).
default['push_jobs']['server']['users'] = {}
# Clients (nodes): name => mapping with `public_key` and, if wanted, `org`.
default['push_jobs']['server']['clients'] = {}
# Groups: name => mapping with `users`, `clients`, `groups` (lists) and, if wanted, `org`. Members are added, never taken away.
default['push_jobs']['server']['groups'] = {}

## Workstation (recipe knife)
# Address of the package, or a list: `push-jobs` and `python3-push-jobs-wire`.
default['push_jobs']['workstation']['package_url'] = nil
# SHA-256 of the package (a list for a list).
default['push_jobs']['workstation']['package_checksum'] = nil
# Package files that are there already: a path, a list of paths, or a folder.
default['push_jobs']['workstation']['local_package_path'] = nil
# Version to install from the package repositories.
default['push_jobs']['workstation']['package_version'] = nil
# Version of the gem knife-push, installed for the Chef client; nil leaves it out.
default['push_jobs']['workstation']['knife_push_version'] = '2.0.1'

require 'ipaddr'
require 'openssl'
require 'uri'

module PushJobs
  module Cookbook
    # Jobs over Serf: the Serf agent of this machine, and what the attributes for it must be.
    module Serf
      PACKAGE = 'serf'.freeze # its service has this name, too
      USER = '_serf'.freeze # made by Debian's package, for its service
      FOLDER = '/etc/serf'.freeze
      SETTINGS = "#{FOLDER}/push-jobs.json".freeze
      SNAPSHOT = '/var/lib/serf/push-jobs.snapshot'.freeze
      RPC = '127.0.0.1:7373'.freeze
      # Where a public key that is given as text is kept for the agent.
      KEY_FILE = '/etc/chef/push-jobs-serf.pub'.freeze
      # Where a server's own public key is, for its nodes.
      SERVER_KEY_FILE = '/etc/push-jobs-server/serf.pub'.freeze

      # Only this family has a package of Serf.
      FAMILY = 'debian'.freeze
      KEY_SIZES = [16, 24, 32].freeze
      QUERY_SIZES = (512..1380).freeze
      SLEW = (1..86400).freeze
      HOST = /\A(\[(?<six>[0-9A-Fa-f:.]+)\]|(?<name>[A-Za-z0-9._-]+))(:(?<port>[0-9]{1,5}))?\z/.freeze

      module_function

      # What is added to the unit of Debian's package, which runs as root and before anything is configured.
      def unit(settings)
        <<~UNIT
          #{Units::NOTE.chomp}
          [Unit]
          ConditionPathExists=#{settings}

          [Service]
          User=#{USER}
          Group=#{USER}
          ExecStartPre=
          StateDirectory=serf
          StateDirectoryMode=0700
          CapabilityBoundingSet=
          NoNewPrivileges=yes
          PrivateDevices=yes
          PrivateTmp=yes
          ProtectHome=yes
          ProtectSystem=strict
        UNIT
      end

      # Whether this node's agent takes jobs over Serf.
      def agent?(node)
        node['push_jobs']['serf']['enabled'] == true
      end

      # Whether this machine is a server that sends jobs over Serf.
      def server?(node)
        node['push_jobs']['server']['serf'] == true
      end

      # The public key for the agent: a path as it is, a text in a file of ours.
      def key_path(key)
        pem?(key) ? KEY_FILE : key
      end

      def pem?(key)
        key.to_s.include?('-----BEGIN')
      end

      # What the server is told of its Serf agent.
      def for_server(serf)
        { 'address' => serf['rpc_address'], 'auth_key' => serf['rpc_auth_key'], 'query_size_limit' => serf['query_size_limit'] }.compact
      end

      # Every mistake in the attributes below serf that counts for the agent; none while it is off.
      def agent_problems(serf, platform_family)
        return named([switch_problem('enabled', serf['enabled'])].compact) unless serf['enabled'] == true

        found = [url_problem(serf['url']), key_problem(serf['sign_pub_key']), switch_problem('pushy', serf['pushy']), slew_problem(serf['time_slew'])]
        named(found.compact) + machine_problems(serf, platform_family)
      end

      # Every mistake in those that count for the Serf agent of this machine.
      def machine_problems(serf, platform_family)
        found = [switch_problem('install', serf['install'])]
        found << package_problem(platform_family) if serf['install'] == true
        found += [rpc_problem(serf['rpc_address'], serf['rpc_auth_key']), bind_problem(serf['bind']), encryption_problem(serf['encrypt_key'])]
        found += join_problems(serf['join']) + [size_problem(serf['query_size_limit']), more_problem(serf['settings'])]
        named(found.compact)
      end

      def named(problems)
        problems.map { |problem| "serf.#{problem}" }
      end

      def switch_problem(name, value)
        "#{name} is #{value.inspect}, expected true or false" unless [true, false].include?(value)
      end

      def package_problem(family)
        return if family == FAMILY

        "install is true, but the platform family #{family} has no package of Serf: install and run Serf by other means, with the name of the node, and set serf.install to false"
      end

      def url_problem(url)
        return 'url is not set: give the root of the server, as https://push.example.com:10003/' if url.to_s.empty?

        uri = URI.parse(url.to_s)
        return "url is #{url.inspect}, expected https://HOST:PORT/" unless %w(http https).include?(uri.scheme) && uri.host
        return "url is #{url.inspect}, which names an organization: give the root of the server" if uri.path.match?(Identity::ORGANIZATION)

        'url holds more than a host, a port and a path' if uri.query || uri.fragment || uri.userinfo
      rescue URI::InvalidURIError
        "url is #{url.to_s.inspect}, which is no address"
      end

      def key_problem(key)
        return 'sign_pub_key is not set: give what push-jobs-server serf-key prints, or the path of a file with it' if key.to_s.empty?
        return if key.to_s.start_with?('/')
        return "sign_pub_key is #{Whitelist.describe(key)}, expected a public key in PEM form or an absolute path" unless pem?(key)

        'sign_pub_key holds a private key: nodes have to have the public one alone' if OpenSSL::PKey::RSA.new(key, '').private?
      rescue OpenSSL::PKey::PKeyError
        'sign_pub_key holds no public RSA key'
      end

      def slew_problem(slew)
        "time_slew is #{slew.inspect}, expected a number of seconds from #{SLEW.min} to #{SLEW.max}" unless slew.nil? || (slew.is_a?(Numeric) && SLEW.cover?(slew))
      end

      # Host and port of an address, or nil when it is none.
      def split(address)
        parts = address.is_a?(String) ? address.match(HOST) : nil
        return if parts.nil? || (parts[:port] && !parts[:port].to_i.between?(1, 65535))

        [parts[:six] || parts[:name], parts[:port]]
      end

      def rpc_problem(address, key)
        host, port = split(address)
        return "rpc_address is #{address.inspect}, expected HOST:PORT such as #{RPC}" if port.nil?

        "rpc_address is #{address}, which others can reach: give an rpc_auth_key, or listen on #{RPC}" if key.to_s.empty? && !host.match?(Identity::LOOPBACK)
      end

      def bind_problem(address)
        return if address.nil?

        host, = split(address)
        host && IPAddr.new(host) ? nil : "bind is #{address.inspect}, expected an IP address, or one with a port such as 192.0.2.1:7946"
      rescue IPAddr::Error
        "bind is #{address.inspect}, expected an IP address, or one with a port such as 192.0.2.1:7946"
      end

      # Never with the key itself, which is a secret.
      def encryption_problem(key)
        return if key.nil? || (key.is_a?(String) && KEY_SIZES.include?(key.unpack1('m0').bytesize))

        "encrypt_key is not base64 of #{KEY_SIZES.join(', ')} bytes: serf keygen makes one"
      rescue ArgumentError
        "encrypt_key is not base64 of #{KEY_SIZES.join(', ')} bytes: serf keygen makes one"
      end

      def join_problems(addresses)
        return ["join is #{Whitelist.describe(addresses)}, expected a list of addresses"] unless addresses.is_a?(Array)

        addresses.reject { |each| split(each) }.map { |each| "join: #{each.inspect} is no address, expected HOST or HOST:PORT" }
      end

      def size_problem(size)
        "query_size_limit is #{size.inspect}, expected a whole number of bytes from #{QUERY_SIZES.min} to #{QUERY_SIZES.max}" unless size.nil? || (size.is_a?(Integer) && QUERY_SIZES.cover?(size))
      end

      def more_problem(settings)
        return "settings is #{Whitelist.describe(settings)}, expected a mapping of Serf's own settings" unless settings.is_a?(Hash)

        'settings holds node_name: the Serf agent has to have the name of the node' if settings.key?('node_name')
      end
    end
  end
end

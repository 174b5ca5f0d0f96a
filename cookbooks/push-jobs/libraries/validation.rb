require 'digest'
require 'uri'

module PushJobs
  module Cookbook
    # Looks at all attributes before anything is changed, and names every mistake in one message.
    module Validation
      FAMILIES = %w(debian rhel fedora amazon suse).freeze
      LOG_LEVELS = %w(debug info warn error fatal).freeze
      INIT_STYLES = %w(systemd sysv).freeze
      PATHS = %w(whitelist_path file_dir lockfile logging_dir).freeze
      NUMBERS = { # name => [whole?, least, most]
        'max_body_size' => [true, 2048, nil],
        'output_limit' => [true, 1024, nil],
        'drain_timeout' => [false, 0, nil],
      }.freeze
      SHA256 = /\A[0-9a-f]{64}\z/i.freeze

      # Attributes of old that mean nothing any more => why.
      WITHOUT_MEANING = {
        'config.template_cookbook' => 'settings are written from attributes; use push_jobs.settings for more of them',
        'chef.verify_api_cert' => 'the certificate of the server is always verified; put its authority into chef.trusted_certs_path or chef.ca_file',
        'chef.ssl_verify_mode' => 'the certificate of the server is always verified; put its authority into chef.trusted_certs_path or chef.ca_file',
        'chef.include_timestamp' => 'the journal has the times, and lines of a log file always have one',
        'chef.install_path' => 'the package knows its places',
        'chef.exec_name' => 'the package knows its programs',
        'service_name' => 'the service is chef-push-jobs-client',
        'service_string' => 'it never had any',
        'package_name' => 'the package is push-jobs-agent',
        'max_jobs' => 'an agent runs one job at a time',
      }.freeze

      # The values with which old roles and cookbooks changed nothing.
      HARMLESS = {
        'chef.verify_api_cert' => [true],
        'chef.ssl_verify_mode' => [:verify_peer, 'verify_peer', ':verify_peer'],
        'chef.include_timestamp' => [false, true],
        'service_name' => ['chef-push-jobs-client'],
      }.freeze

      module_function

      # Raises with every problem of the agent's attributes; warns of what means nothing. Once for all recipes.
      def check!(node)
        return if node.run_state['push_jobs_checked']

        node.run_state['push_jobs_checked'] = true
        warnings(node).each { |warning| Chef::Log.warn("push-jobs: #{warning}") }
        fail_with(problems(node))
      end

      # Raises with every problem of the server's attributes.
      def check_server!(node)
        server = node['push_jobs']['server'].to_h
        found = %w(org admin).select { |name| server[name].to_s.empty? }.map { |name| "server.#{name} is not set" }
        found += %w(settings users clients groups).reject { |name| server[name].is_a?(Hash) }.map { |name| "server.#{name} is #{Whitelist.describe(server[name])}, expected a mapping" }
        found += ["server.#{Serf.switch_problem('serf', server['serf'])}"] unless Whitelist.bool?(server['serf'])
        found += Serf.machine_problems(node['push_jobs']['serf'].to_h, node['platform_family']) if server['serf'] == true
        fail_with(platform_problems(node) + found + package_problems(server).map { |problem| "server.#{problem}" })
      end

      # Raises with every problem of the attributes of the Serf agent; the others of a node are checked with it.
      def check_serf!(node)
        serf = node['push_jobs']['serf'].to_h
        fail_with(platform_problems(node) + Serf.machine_problems(serf, node['platform_family']) + [Identity.node_name_problem(Identity.node_name(node['push_jobs']['chef']['node_name']))].compact)
      end

      def fail_with(problems)
        return if problems.empty?

        list = problems.map { |problem| "  * #{problem}" }.join("\n")
        raise Chef::Exceptions::ValidationFailed, "push-jobs: nothing was changed, because of #{problems.size} #{problems.size == 1 ? 'problem' : 'problems'}:\n#{list}"
      end

      def problems(node)
        attributes = node['push_jobs'].to_h
        platform_problems(node) + OldClient.problems + whitelist_problems(attributes['whitelist']) + identity_problems(attributes['chef'] || {}, pushy?(attributes['serf'])) +
          package_problems(attributes) + plain_problems(attributes) + list_problems(attributes) + other_problems(attributes) + Serf.agent_problems(attributes['serf'] || {}, node['platform_family'])
      end

      def warnings(node)
        found = WITHOUT_MEANING.filter_map do |name, reason|
          value = node.read('push_jobs', *name.split('.'))
          "the attribute #{name} means nothing any more: #{reason}" unless value.nil? || HARMLESS.fetch(name, []).include?(value)
        end
        style = node.read('push_jobs', 'init_style')
        found << "init_style #{style} means nothing any more: the agent's own service is used" if %w(runit upstart container).include?(style)
        found
      end

      def platform_problems(node)
        family = node['platform_family']
        FAMILIES.include?(family) ? [] : ["the platform #{node['platform']} (family #{family}) is not supported; supported families are #{FAMILIES.join(', ')}"]
      end

      def whitelist_problems(whitelist)
        entries = Whitelist.normalize(whitelist)
        found = Whitelist.problems(entries)
        entries.is_a?(Hash) ? found.map { |each| "whitelist: #{each}" } : found.map { |each| "whitelist #{each}" }
      end

      # A node that takes jobs over Serf alone has no push jobs server.
      def pushy?(serf)
        serf.nil? || serf['enabled'] != true || serf['pushy'] != false
      end

      def identity_problems(given, pushy)
        [
          (Identity.url_problem(Identity.server_url(given['chef_server_url'])) if pushy),
          Identity.node_name_problem(Identity.node_name(given['node_name'])),
          Identity.key_problem(Identity.client_key(given['client_key_path'])),
          ssl_problem(given['ssl_verify_mode']),
        ].compact
      end

      def ssl_problem(mode)
        "chef.ssl_verify_mode is #{mode.inspect}, expected :verify_peer or :verify_none" unless mode.nil? || mode.to_s.delete_prefix(':').match?(/\Averify_(peer|none)\z/)
      end

      def package_problems(attributes)
        urls, sums, files = %w(package_url package_checksum local_package_path).map { |name| Array(attributes[name]).reject { |text| text.to_s.empty? } }
        found = urls.reject { |url| url.to_s.match?(%r{\A(https?|file)://\S+\z}) }.map { |url| "package_url: #{url.inspect} is no address" }
        found += sums.reject { |sum| sum.to_s.match?(SHA256) }.map { |sum| "package_checksum: #{sum.inspect} is no SHA-256 (64 hexadecimal digits)" }
        found += files.reject { |file| file.to_s.start_with?('/') }.map { |file| "local_package_path: #{file.inspect} is no absolute path" }
        wanted = urls.empty? ? files : urls
        found << "package_url has no package_checksum: give the SHA-256 of #{urls.size == 1 ? 'the package' : 'each package'}" if !urls.empty? && sums.size != urls.size
        found << "package_checksum has #{sums.size} sums for #{wanted.size} packages" if urls.empty? && !sums.empty? && sums.size != wanted.size
        found + (urls.empty? ? Packages.checksum_problems(files, sums) : [])
      end

      def plain_problems(attributes)
        found = PATHS.filter_map { |name| "#{name} is #{attributes[name].inspect}, expected an absolute path" unless attributes[name].nil? || Whitelist.path?(attributes[name]) }
        found += NUMBERS.filter_map { |name, limits| number_problem(name, attributes[name], *limits) }
        found << "logging_level is #{attributes['logging_level'].inspect}, expected one of #{LOG_LEVELS.join(', ')}" unless LOG_LEVELS.include?(attributes['logging_level'].to_s)
        found << "allow_unencrypted is #{attributes['allow_unencrypted'].inspect}, expected true or false" unless Whitelist.bool?(attributes['allow_unencrypted'])
        found
      end

      def number_problem(name, value, whole, least, most)
        return if value.nil?

        valid = value.is_a?(whole ? Integer : Numeric) && value >= least && (most.nil? || value <= most)
        "#{name} is #{value.inspect}, expected a #{whole ? 'whole number' : 'number'} of at least #{least}" unless valid
      end

      def list_problems(attributes)
        %w(allowed_users allowed_overwritable_env_vars).filter_map do |name|
          value = attributes[name]
          "#{name} is #{Whitelist.describe(value)}, expected a list of names" unless value.nil? || (value.is_a?(Array) && value.all? { |each| Whitelist.text?(each) })
        end
      end

      def other_problems(attributes)
        found = []
        found << 'environment_variables: expected a mapping from variable names to texts (numbers in quotes)' unless Whitelist.environment?((attributes['environment_variables'] || {}).compact)
        found << 'settings: expected a mapping from names of settings to values' unless attributes['settings'].nil? || attributes['settings'].is_a?(Hash)
        rotation = attributes['log_rotation'] || {}
        size, keep = rotation.values_at('file_maxbytes', 'num_to_keep')
        found << "log_rotation.file_maxbytes is #{size.inspect}, expected a size as 104857600 or 100M" unless size.nil? || size.to_s.match?(/\A[1-9][0-9]*[kMG]?\z/)
        found << "log_rotation.num_to_keep is #{keep.inspect}, expected a whole number" unless keep.nil? || (keep.is_a?(Integer) && keep >= 0)
        known = [nil, *INIT_STYLES, 'sysvinit', 'runit', 'upstart', 'container']
        found << "init_style is #{attributes['init_style'].inspect}, expected #{INIT_STYLES.join(' or ')}" unless known.include?(attributes['init_style'])
        found
      end
    end
  end
end

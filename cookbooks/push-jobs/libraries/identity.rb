require 'erb'
require 'openssl'
require 'uri'

module PushJobs
  module Cookbook
    # Who this node is and how it reaches its server: what the attributes leave open is taken from the
    # Chef client's own configuration, when it is asked for.
    module Identity
      CLIENT_KEY = '/etc/chef/client.pem'.freeze
      TRUSTED_CERTS = '/etc/chef/trusted_certs'.freeze
      ORGANIZATION = %r{/organizations/+[a-z0-9][a-z0-9_-]*(/|\z)}i.freeze
      NODE_NAME = /\A[A-Za-z0-9_:.-]{1,255}\z/.freeze
      LOOPBACK = /\A(localhost|127(\.[0-9]{1,3}){3}|\[?::1\]?)\z/.freeze

      module_function

      def server_url(given = nil)
        given || Chef::Config[:chef_server_url].to_s
      end

      def node_name(given = nil)
        given || Chef::Config[:node_name]
      end

      def client_key(given = nil)
        given || Chef::Config[:client_key] || CLIENT_KEY
      end

      def trusted_certs(given = nil)
        given || Chef::Config[:trusted_certs_dir] || TRUSTED_CERTS
      end

      def no_proxy(given = nil)
        given || Chef::Config[:no_proxy]
      end

      # The proxy for a scheme, with user and password in its address; nil when there is none.
      def proxy(scheme, given = {})
        url, user, pass = given.values_at('url', 'user', 'pass')
        url, user, pass = %w(proxy proxy_user proxy_pass).map { |name| Chef::Config[:"#{scheme}_#{name}"] } if url.nil?
        return if url.nil? || url.to_s.empty?

        with_user(url.include?('://') ? url : "http://#{url}", user, pass)
      end

      def with_user(url, user, pass)
        return url if user.nil? || user.to_s.empty?

        userinfo = [user, pass].compact.map { |part| ERB::Util.url_encode(part) }.join(':')
        url.sub('://', "://#{userinfo}@")
      end

      def url_problem(url)
        uri = URI.parse(url.to_s)
        return "chef_server_url is #{url.to_s.inspect}, expected https://HOST/organizations/ORG" unless %w(http https).include?(uri.scheme) && uri.host
        return "chef_server_url is #{url.inspect}, which names no organization: expected https://HOST/organizations/ORG" unless uri.path.match?(ORGANIZATION)
        return 'chef_server_url holds more than a host, a port and a path' if uri.query || uri.fragment || uri.userinfo

        "chef_server_url is #{url.inspect}, expected https:// (plain http only to this very machine)" if uri.scheme == 'http' && !uri.host.match?(LOOPBACK)
      rescue URI::InvalidURIError
        "chef_server_url is #{url.to_s.inspect}, which is no address"
      end

      def node_name_problem(name)
        return if name.nil? || name.to_s.match?(NODE_NAME)

        "node_name is #{name.inspect}, expected letters, digits and the signs _ : . -"
      end

      def key_problem(path)
        return "the client key #{path} is not there: register the node first, or set chef.client_key_path" unless ::File.exist?(path)

        OpenSSL::PKey::RSA.new(::File.read(path), '').private? ? nil : "the client key #{path} is a public key"
      rescue SystemCallError => e
        "the client key #{path} cannot be read: #{e.message}"
      rescue OpenSSL::PKey::PKeyError
        "the client key #{path} holds no private RSA key"
      end
    end
  end
end

# What knife-shove 0.6.0 asks for and today's knife and Ruby lack: Chef::REST went with Chef 13, URI.escape with Ruby 3.
require 'chef/server_api'
require 'uri'

class Chef
  # It still has get_rest, post_rest and put_rest, for absolute addresses, too.
  REST = ServerAPI
end

module URI
  def self.escape(text, unsafe = DEFAULT_PARSER.regexp[:UNSAFE])
    DEFAULT_PARSER.escape(text, unsafe)
  end
end

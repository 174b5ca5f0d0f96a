require 'digest'

module PushJobs
  module Cookbook
    # Which package files are meant, and what is installed already.
    module Packages
      NAMES = { agent: 'push-jobs-agent', server: 'push-jobs-server', workstation: 'push-jobs' }.freeze
      SHARED = 'python3-push-jobs-wire'.freeze

      module_function

      # The files that a path, a list of paths or a folder stands for.
      def files(given, part)
        Array(given).flat_map do |path|
          next [path] unless ::File.directory?(path)

          [SHARED, NAMES.fetch(part)].map { |name| only_one(path, name) }
        end
      end

      def only_one(folder, name)
        found = ::Dir.glob(::File.join(folder, "#{name}[_-][0-9]*.{deb,rpm}"))
        return found.first if found.size == 1

        many = found.empty? ? 'no file' : "several files (#{found.map { |file| ::File.basename(file) }.sort.join(', ')})"
        raise Chef::Exceptions::Package, "#{folder} holds #{many} of the package #{name}; name the files in local_package_path"
      end

      # Mistakes in sums of files that are there already; the others are checked when they are.
      def checksum_problems(files, sums)
        files.zip(sums).filter_map do |file, sum|
          next if sum.nil? || !::File.file?(file)

          "package_checksum: #{file} has another SHA-256 than #{sum}" unless Digest::SHA256.file(file).hexdigest.casecmp?(sum)
        end
      end

      # The name of the package in a file, from the name of the file: push-jobs-agent_1.2-1_all.deb.
      def name_in(file)
        ::File.basename(file)[/\A(.+?)[_-][0-9]/, 1] || ::File.basename(file, '.*')
      end

      # Where a package from an address is kept.
      def cached(url)
        ::File.join(Chef::Config[:file_cache_path], ::File.basename(url.sub(/[?#].*/, '')))
      end
    end
  end
end

unified_mode true

provides :push_jobs_install
resource_name :push_jobs_install
description 'Installs a package of Push Jobs from an address, from files on the node, or from the package repositories.'

property :part, Symbol,
         equal_to: PushJobs::Cookbook::Packages::NAMES.keys,
         default: :agent,
         description: 'What to install.'
property :package_url, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'Addresses of the packages.'
property :package_checksum, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'SHA-256 of each package; needed with package_url.'
property :local_package_path, [String, Array],
         coerce: proc { |value| Array(value) },
         default: [],
         description: 'Package files, or a folder that holds them.'
property :version, String,
         description: 'Version to install from the package repositories.'

action_class do
  def package_name
    PushJobs::Cookbook::Packages::NAMES.fetch(new_resource.part)
  end

  def check_properties!
    problems = PushJobs::Cookbook::Validation.package_problems(
      'package_url' => new_resource.package_url, 'package_checksum' => new_resource.package_checksum, 'local_package_path' => new_resource.local_package_path
    )
    PushJobs::Cookbook::Validation.fail_with(problems)
  end

  def downloaded
    new_resource.package_url.zip(new_resource.package_checksum).map do |url, sum|
      file = PushJobs::Cookbook::Packages.cached(url)
      remote_file file do
        source url
        checksum sum.downcase
        mode '0644'
      end
      file
    end
  end

  # apt, unlike dpkg, also finds what the packages depend on.
  def install_debian(files)
    execute "install #{files.map { |file| ::File.basename(file) }.join(' ')}" do
      command ['apt-get', 'install', '--yes', '--quiet', '--no-install-recommends', '--allow-downgrades',
               '-o', 'Dpkg::Options::=--force-confdef', '-o', 'Dpkg::Options::=--force-confold', *files]
      environment 'DEBIAN_FRONTEND' => 'noninteractive'
    end
  end

  def installed?(file)
    name, version = shell_out!('dpkg-deb', '--show', '--showformat=${Package}\n${Version}\n', file).stdout.split("\n")
    shell_out('dpkg-query', '--show', '--showformat=${db:Status-Status} ${Version}', name).stdout == "installed #{version}"
  end

  # The package restarts the agent by itself; a job that this converge may be goes on meanwhile.
  def tell_of_restart
    return if new_resource.part != :agent || PushJobs::Cookbook::Units.own_job.nil?

    Chef::Log.warn(PushJobs::Cookbook::Units.restart_notice)
  end

  def install_from_repository(wanted_action)
    done = package package_name do
      version new_resource.version
      action wanted_action
    end
    tell_of_restart if done.updated_by_last_action?
  end

  def install_files(files)
    if debian?
      return if files.all? { |file| installed?(file) }

      install_debian(files)
      tell_of_restart
    else
      files.each do |file|
        package PushJobs::Cookbook::Packages.name_in(file) do
          source file
        end
      end
    end
  end
end

action :install do
  description 'Install the package, in the given version where one is given.'
  check_properties!
  files = new_resource.package_url.empty? ? PushJobs::Cookbook::Packages.files(new_resource.local_package_path, new_resource.part) : downloaded
  files.empty? ? install_from_repository(:install) : install_files(files)
end

action :upgrade do
  description 'Install the newest version that the package repositories have.'
  install_from_repository(:upgrade)
end

action :remove do
  description 'Remove the package; settings and state stay.'
  package package_name do
    action :remove
  end
end

module PushJobs
  module Cookbook
    # What recipes have to find out before they can hand attributes to resources.
    module Recipe
      # Attributes that are settings of the agent under their own names.
      SETTINGS = %w(file_dir max_body_size output_limit allowed_users allowed_overwritable_env_vars lockfile drain_timeout).freeze

      module_function

      def manager(node)
        style = node['push_jobs']['init_style']
        return :systemd if style == 'systemd'
        return :sysv if %w(sysv sysvinit).include?(style)

        ChefUtils.systemd? ? :systemd : :sysv
      end

      def settings(node)
        attributes = node['push_jobs'].to_h
        attributes.slice(*SETTINGS).compact.merge(attributes['settings'] || {})
      end
    end
  end
end

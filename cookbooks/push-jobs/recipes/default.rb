# The agent: package, settings, whitelist, service.
include_recipe 'push-jobs::install'

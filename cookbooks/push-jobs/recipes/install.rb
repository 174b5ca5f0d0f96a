# The agent, all of it.
include_recipe 'push-jobs::package'
include_recipe 'push-jobs::config'
include_recipe 'push-jobs::service'

# Role webserver and environment production bring entries of their own.
include_recipe 'push-jobs'

name             'test'
maintainer       'The Push Jobs contributors'
license          'Apache-2.0'
description      'What the suites of push-jobs converge'
version          '1.0.0'
chef_version     '>= 17.0'

depends 'push-jobs'

#!/usr/bin/env bash
# Called by Kitchen's verifier: the tests of a suite, which look at its node from outside. Suites without tests are looked at by others.
set -euo pipefail
tests=tests/integration/$KITCHEN_SUITE
[ -d "$tests" ] || exit 0
exec "$PUSHJOBS_PYTHON" -m pytest -q -p no:cacheprovider --hosts="ssh://root@$KITCHEN_HOSTNAME" --ssh-config="$PUSHJOBS_LAB/ssh_config" "$tests"

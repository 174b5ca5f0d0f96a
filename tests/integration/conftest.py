"""What the tests of all suites share: the node from outside, and the operator's programs.

They run inside the lab, started by scripts/kitchen. Other runs of pytest do not collect them.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict

import pytest
from outside import Operator

if "KITCHEN_SUITE" not in os.environ:
    collect_ignore_glob = ["*"]


class Machine:
    """The node of a suite, as its administrator sees it."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def pid(self, unit: str) -> int:
        """The main process of a service; 0 when it is down."""
        shown = self._host.check_output(f"systemctl show -p MainPID --value {unit}")
        return int(shown)

    def prepare(self, **push_jobs: Any) -> None:
        """Choose other attributes below push_jobs for the next converge."""
        dna = json.loads(self._host.check_output("cat /tmp/kitchen/dna.json"))
        _merge(dna.setdefault("push_jobs", {}), push_jobs)
        text = json.dumps(dna).replace("'", "'\\''")
        self._host.check_output(f"printf %s '{text}' > /tmp/kitchen/again.json")

    def converge(self, **push_jobs: Any) -> Any:
        """Run Chef once more, with other attributes below push_jobs; returns how it went."""
        self.prepare(**push_jobs)
        return self._host.run(
            "cd /tmp/kitchen && /opt/chef/bin/chef-client --local-mode --config client.rb "
            "--json-attributes again.json --chef-zero-port 8889 --no-color"
        )


def _merge(into: Dict[str, Any], changes: Dict[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


@pytest.fixture
def machine(host: Any) -> Machine:
    """The node of this suite."""
    return Machine(host)


@pytest.fixture
def machine_of() -> Callable[[Any], Machine]:
    """Makes the same of another node."""
    return Machine


@pytest.fixture
def operator() -> Operator:
    """Somebody who may start jobs."""
    return Operator()

"""One whitelist from role, environment and node, changed without a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

NODE = "whitelist"
FILE = "/etc/chef/push-jobs-whitelist.json"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"


def test_levels_add_up_the_stronger_wins_and_false_switches_off(host: Any) -> None:
    written = json.loads(host.file(FILE).content_string)
    assert {name: written[name] for name in written if name != "chef-client"} == {
        "from-role": "echo role",
        "from-environment": "echo environment",
        "from-node": "echo node",
        "contested": "echo role",
    }
    assert written.get("chef-client") in (None, False)


@pytest.mark.parametrize("origin", ["role", "environment", "node"])
def test_entries_of_each_level_run(operator: Any, origin: str) -> None:
    operator.wait_available(NODE)
    told = operator.run(f"from-{origin}", NODE)
    assert told.code == 0, told
    assert told.printed() == [f"{origin}\n"]


def test_what_is_switched_off_is_refused(operator: Any) -> None:
    operator.wait_available(NODE)
    assert operator.run("chef-client", NODE).code == 7


def test_a_change_counts_with_the_next_converge_and_restarts_nothing(
    machine: Any, operator: Any
) -> None:
    before = [machine.pid(unit) for unit in (SESSION, RUNNER)]
    assert all(before)
    done = machine.converge(whitelist={"new": "echo fresh"})
    assert done.rc == 0, done.stdout
    assert [machine.pid(unit) for unit in (SESSION, RUNNER)] == before
    operator.wait_available(NODE)
    told = operator.run("new", NODE)
    assert told.code == 0, told
    # Chef keeps what a node was given; a false takes it back.
    back = machine.converge(whitelist={"new": False})
    assert back.rc == 0, back.stdout
    assert operator.run("new", NODE).code == 7
    assert [machine.pid(unit) for unit in (SESSION, RUNNER)] == before

"""Unmodified knife-shove 0.6.0 on today's knife drives the server it was made for, goiardi.

So it is known what it says to whom; tests of our server compare with it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, Iterator

import pytest
from goiardi_shovey import GoiardiShovey
from house import Done
from knife_shove import KnifeShove
from peer import Missing, skip

from push_jobs_wire import chef_auth

pytestmark = pytest.mark.e2e
Unique = Callable[[str], str]


@pytest.fixture(scope="module")
def knife(shovey: GoiardiShovey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnifeShove]:
    """The administrator's."""
    folder = tmp_path_factory.mktemp("knife-shove")
    try:
        yield KnifeShove(folder, shovey.url, shovey.admin, shovey.admin_key())
    except Missing as reason:
        skip(reason)


def test_jobs_are_listed(shovey: GoiardiShovey, knife: KnifeShove, unique: Unique) -> None:
    node = unique("node")
    shovey.create_node(node)
    shovey.call("POST", "/shovey/jobs", {"command": "ls", "nodes": [node]})
    done = knife("job", "list", "-F", "json")
    assert done.code == 0, done
    assert json.loads(done.out) == shovey.must("GET", "/shovey/jobs") != []


def test_the_status_of_nodes(shovey: GoiardiShovey, knife: KnifeShove, unique: Unique) -> None:
    fresh, up = unique("node"), unique("node")
    for node in (fresh, up):
        shovey.create_node(node)
    shovey.beat(up)
    everything = knife("node", "status")
    assert everything.code == 0
    assert {f"{fresh}\tnew", f"{up}\tup"} <= set(everything.out.splitlines())
    named = knife("node", "status", up, fresh)
    assert (named.code, named.out) == (0, f"{up}\tup\n{fresh}\tnew\n")


def test_a_node_that_is_not_up(shovey: GoiardiShovey, knife: KnifeShove, unique: Unique) -> None:
    node = unique("node")
    shovey.create_node(node)
    done = knife("job", "start", "ls", node)
    assert (done.code, done.out) == (100, "")
    assert re.fullmatch(
        "ERROR: The data in your request was invalid\n"
        "Response: Not enough nodes were up to execute job [-0-9a-f]{36}"
        " - got 0, needed at least 1\n",
        done.err,
    )


def test_a_job_on_a_node_that_is_up(
    shovey: GoiardiShovey, knife: KnifeShove, unique: Unique
) -> None:
    node = unique("node")
    key = chef_auth.load_private_key(shovey.create_node(node).encode())
    shovey.beat(node)
    job = started(knife("job", "start", "ls", node, "--dont-wait"))
    report = {"status": "succeeded", "exit_status": 0}
    said = shovey.call("PUT", f"/shovey/jobs/{job}/{node}", report, user=node, key=key)
    assert said.status == 200
    shown = shown_json(knife("job", "status", job, "-F", "json"))
    assert (shown["status"], shown["nodes"]) == ("complete", {"succeeded": [node]})
    run = shown_json(knife("job", "info", job, node, "-F", "json"))
    assert (run["status"], run["exit_status"], run["output"]) == ("succeeded", 0, "")


def test_nodes_by_search_and_a_cancel(
    shovey: GoiardiShovey, knife: KnifeShove, unique: Unique
) -> None:
    node = unique("node")
    shovey.create_node(node)
    shovey.beat(node)
    job = started(knife("job", "start", "ls", "-s", f"name:{node}", "--dont-wait"))
    cancelled = shown_json(knife("job", "cancel", job, "-F", "json"))
    assert cancelled == {
        "command": "ls",
        "id": job,
        "status": "cancelled",
        "cancelled nodes": [node],
    }


def started(done: Done) -> str:
    """The id of a job that nobody waits for."""
    found = re.fullmatch(r"Started\.  Job ID: ([-0-9a-f]{36})\n", done.out)
    assert found and done.code == 0, done
    return found[1]


def shown_json(done: Done) -> Dict[str, Any]:
    """The object that a command printed."""
    assert done.code == 0, done
    shown: Dict[str, Any] = json.loads(done.out)
    return shown

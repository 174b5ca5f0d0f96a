"""``push-jobs node show`` and ``node list --all`` with real processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from house import House, open_house
from waiting import wait_until

pytestmark = pytest.mark.e2e

WHITELIST = {"hello": "echo hello", "/deploy (.*)/": "echo \\1", "off": None}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server whose nodes are given up after two seconds of silence."""
    with open_house(tmp_path) as opened:
        yield opened


def show(house: House, node: str = "web1") -> Dict[str, Any]:
    done = house.push_jobs("node", "show", node, "--format", "json")
    assert done.code == 0, done.err
    shown: Dict[str, Any] = json.loads(done.out)
    return shown


def test_the_life_of_a_node(house: House) -> None:
    key = house.new_key("web1")
    assert "never seen" in house.push_jobs("node", "list", "--all").out
    assert "install the agent" in show(house)["advice"]
    agent = house.add_agent("web1", WHITELIST, key)
    house.wait_available("web1")
    up = show(house)
    assert (up["state"], up["registered"], up["extensions"]) == ("up", True, 1)
    assert up["agent_version"] and "Linux" in up["platform"]
    assert (up["runnable"], up["all_runnable"]) == (["hello", "/deploy (.*)/"], True)
    agent.write_whitelist({"other": "true"})
    agent.signal(signal.SIGHUP)
    wait_until(lambda: bool(show(house)["runnable"] == ["other"]), "the new whitelist")
    agent.kill_session()
    wait_until(lambda: bool(show(house)["state"] == "down"), "the node to be down")
    down = show(house)
    assert down["reason"] == "no heartbeat for too long"
    assert down["seen_at"] <= down["since"]
    assert "no heartbeat for too long" in house.push_jobs("node", "list", "--all").out
    house.stop_server()
    house.start_server()
    after = show(house)
    assert (after["reason"], after["since"]) == (down["reason"], down["since"])
    agent.start()
    house.wait_available("web1")
    back = show(house)
    assert back["last_down"] == {"at": down["since"], "reason": down["reason"]}


def test_names_that_are_not_registered(house: House) -> None:
    shown = house.push_jobs("node", "show", "web77")
    assert shown.code == 0 and "no client is registered as web77" in shown.out

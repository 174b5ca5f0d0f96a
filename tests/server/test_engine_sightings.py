"""What the engine can tell of a node: since when it is up or down, why, and what it told itself."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest
from engine_desk import KEYS, START, EngineDesk

from push_jobs_server.engine import node_details
from push_jobs_server.engine.sightings import IDS_KEPT, NAMES_BYTES
from push_jobs_server.node_records import NodeDetail, NodeSighted
from push_jobs_server.records import Grant
from push_jobs_wire.framing import seal_hmac
from push_jobs_wire.heartbeats import Runnable
from push_jobs_wire.messages import Heartbeat
from push_jobs_wire.states import NodeInput

NEW: Dict[str, Any] = {"extensions": 1, "jobs": ()}


def of(desk: EngineDesk, node: str = "a") -> NodeDetail:
    return node_details.detail(desk.engine, ("acme", node))


def fetch(desk: EngineDesk, node: str = "a", lifetime: float = 7200) -> None:
    desk.begin()
    grant = Grant("K", "acme", node, desk.now + lifetime)
    desk.engine.admission.admit(grant, b"new", desk.answers.append)
    desk.collect()


def say_wrong(desk: EngineDesk, at: float = 0.0, key: bytes = b"", user: str = "acme/a") -> None:
    body = desk.body("a", Heartbeat(), at=desk.now + at)
    desk.raw([seal_hmac(key or KEYS["acme", "a"], body), body], user)


def silence(desk: EngineDesk) -> None:
    for _ in range(4):
        desk.wait(10)


def test_nothing_is_known_of_a_node_that_was_never_seen() -> None:
    assert of(EngineDesk()) == NodeDetail("a", False, False)
    assert not of(EngineDesk()).known


def test_a_node_is_up_since_it_connected() -> None:
    desk = EngineDesk()
    desk.beat("a", **NEW)
    desk.wait(7)
    desk.beat("a", extensions=1)
    node = of(desk)
    assert (node.online, node.available, node.reason) == (True, True, None)
    assert (node.since, node.seen_at) == (START, START + 7)


def test_an_old_agent_that_does_not_confirm_is_up_but_not_there_for_jobs() -> None:
    desk = EngineDesk()
    desk.beat("a")
    node = of(desk)
    assert (node.online, node.available, node.extensions) == (True, False, 0)
    assert "has not confirmed" in str(node.reason)
    desk.reply("a", NodeInput.ABORTED, None)
    assert of(desk).reason is None


def test_a_node_without_heartbeats_is_down_since_it_was_given_up() -> None:
    desk = EngineDesk()
    desk.beat("a", **NEW)
    silence(desk)
    node = of(desk)
    assert (node.online, node.reason) == (False, "no heartbeat for too long")
    assert (node.since, node.seen_at) == (desk.now, START)
    assert desk.noted[-1] == NodeSighted(
        "acme", "a", START, down_at=desk.now, down_reason="no heartbeat for too long"
    )
    desk.beat("a", **NEW)
    node = of(desk)
    assert (node.online, node.since, node.down_reason) == (
        True,
        desk.now,
        "no heartbeat for too long",
    )


@pytest.mark.parametrize("more", [{}, NEW])
def test_a_restart_is_remembered_as_why_it_was_down(more: Any) -> None:
    desk = EngineDesk()
    desk.beat("a", **more)
    desk.wait(5)
    desk.beat("a", incarnation="two", **more)
    node = of(desk)
    assert (node.online, node.since) == (True, START + 5)
    assert (node.down_at, node.down_reason) == (START + 5, "the agent was restarted")


def test_settings_that_nothing_came_of() -> None:
    desk = EngineDesk()
    fetch(desk)
    node = of(desk)
    assert (node.known, node.online, node.fetched_at) == (True, False, START)
    assert "fetched its settings, but" in str(node.reason)
    desk.wait(1)
    desk.beat("a", **NEW)
    assert of(desk).reason is None
    silence(desk)
    assert of(desk).reason == "no heartbeat for too long"
    fetch(desk)
    assert "fetched its settings, but" in str(of(desk).reason)


WRONG: "Dict[str, Tuple[Dict[str, Any], Any, str]]" = {
    "bad_signature": ({"key": b"x" * 32}, None, "wrong signature"),
    "bad_clock": ({"at": -420.0}, -420.0, "clock differs by -420 s"),
    "foreign": ({"user": "acme/b"}, None, "acme/b sent a message in the name of acme/a"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_was_refused_is_told_of_the_node_that_it_concerns(kind: str) -> None:
    wrong, offset, text = WRONG[kind]
    desk = EngineDesk()
    for node in ("a", "b"):
        desk.beat(node, **NEW)
    say_wrong(desk, **wrong)
    desk.wait(1)
    say_wrong(desk, **wrong)
    sinner, other = ("b", "a") if kind == "foreign" else ("a", "b")
    refusal = of(desk, sinner).refusal
    assert refusal is not None and of(desk, other).refusal is None
    assert (refusal.kind, refusal.count, refusal.at) == (kind, 2, START + 1)
    assert refusal.clock_offset == offset and text in refusal.detail


def test_a_message_of_a_stranger_leaves_no_trace() -> None:
    desk = EngineDesk()
    say_wrong(desk, key=b"x" * 32)
    assert of(desk) == NodeDetail("a", False, False)
    assert desk.engine.sightings.names("acme") == []


def test_a_key_whose_grant_has_expired_is_told_of_its_node() -> None:
    desk = EngineDesk()
    fetch(desk, lifetime=10)
    assert desk.engine.admission.authorise("K", START + 9) == "acme/a"
    assert of(desk).refusal is None
    assert desk.engine.admission.authorise("K", START + 10) is None
    refusal = of(desk).refusal
    assert refusal is not None and refusal.kind == "grant_expired"
    assert desk.engine.admission.authorise("unknown", START) is None
    assert desk.engine.inbox.dropped["not_admitted"] == 2


def test_after_a_restart_of_the_server_what_was_known_is_known() -> None:
    desk = EngineDesk(
        sighted=[
            NodeSighted("acme", "a", START - 50, START - 100, version="0.1.0"),
            NodeSighted("acme", "b", START - 90, None, START - 60, "no heartbeat for too long"),
        ]
    )
    a, b = node_details.details(desk.engine, "acme")
    assert (a.since, a.version) == (START - 50, "0.1.0")
    assert a.reason == "nothing was heard of it since the server was started"
    assert (b.since, b.reason) == (START - 60, "no heartbeat for too long")
    assert node_details.details(desk.engine, "other") == []


def test_when_a_node_was_seen_is_stored_when_the_server_stops_and_not_per_heartbeat() -> None:
    desk = EngineDesk()
    desk.beat("a", **NEW)
    assert desk.noted == [NodeSighted("acme", "a", START)]
    for _ in range(5):
        desk.wait(5)
        desk.beat("a", extensions=1)
    assert len(desk.noted) == 1
    desk.engine.stopping()
    desk.collect()
    assert desk.noted[1:] == [NodeSighted("acme", "a", START + 25)]


def test_a_node_tells_what_it_is_and_what_can_be_run() -> None:
    desk = EngineDesk()
    names = Runnable(("chef-client", "deploy .*"))
    desk.beat("a", "j1", **{**NEW, "jobs": ("j1",)}, version="7", platform="OS", runnable=names)
    node = of(desk)
    assert (node.version, node.platform, node.extensions) == ("7", "OS", 1)
    assert (node.names, node.all_names) == (names.names, True)
    assert (node.says_job, node.spool, node.jobs) == ("j1", ("j1",), ())
    desk.beat("a", extensions=1, runnable=Runnable(("other",)))
    assert (of(desk).names, of(desk).spool, of(desk).says_job) == (("other",), ("j1",), None)


def test_jobs_in_which_a_node_has_a_part_to_play() -> None:
    desk = EngineDesk()
    desk.beat("a", **NEW)
    desk.start()
    assert of(desk).jobs == (("j1", "new"),)
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.ACK_RUN)
    assert of(desk).jobs == (("j1", "running"),)
    desk.reply("a", NodeInput.SUCCEEDED)
    assert of(desk).jobs == ()


PARTS: "dict[str, Tuple[Tuple[Runnable, ...], Any]]" = {
    "in order": ((Runnable(("a", "b"), 0, True), Runnable(("c",), 2)), (("a", "b", "c"), True)),
    "unfinished": ((Runnable(("a",), 0, True),), (("a",), False)),
    "begun again": ((Runnable(("a",), 0, True), Runnable(("b",))), (("b",), True)),
    "one was left out": ((Runnable(("a",), 0, True), Runnable(("c",), 2)), (("a", "c"), True)),
    "no beginning": ((Runnable(("c",), 2),), (None, False)),
    "twice": ((Runnable(("a", "b"), 0, True), Runnable(("b",), 1)), (("a", "b"), False)),
    "too long": ((Runnable(("a", "b" * NAMES_BYTES)),), (("a",), False)),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_of_a_whitelist(case: str) -> None:
    parts, expected = PARTS[case]
    desk = EngineDesk()
    desk.beat("a", **NEW)
    for part in parts:
        desk.beat("a", extensions=1, runnable=part)
    assert (of(desk).names, of(desk).all_names) == expected


def test_what_a_node_tells_is_limited() -> None:
    desk = EngineDesk()
    ids = tuple(f"{number:032x}" for number in range(500))
    desk.beat("a", extensions=1, jobs=ids, version="v" * 9999, platform="p" * 9999)
    node = of(desk)
    assert node.spool == ids[:IDS_KEPT]
    assert len(str(node.version)) == len(str(node.platform)) == 300

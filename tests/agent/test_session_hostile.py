"""A hostile or broken server against the session machine: it refuses, counts, logs and goes on."""

from __future__ import annotations

import json
from typing import Any, Dict, Sequence, Tuple

import pytest
from agent_desk import JOB, KEY, OTHER, START, Desk, commit, ready_desk, rsa_key, running_desk
from hypothesis import given, settings
from hypothesis import strategies as st

from push_jobs_agent.guard import MAX_COMMAND
from push_jobs_wire import framing
from push_jobs_wire.messages import Abort, Ack, Commit, Run, ServerHeartbeat
from push_jobs_wire.states import AgentState, NodeInput


def command(desk: Desk, *frames: bytes) -> None:
    desk.transport.peer.command(*frames)
    desk.pump()


def broadcast(desk: Desk, *frames: bytes) -> None:
    desk.transport.peer.broadcast(*frames)
    desk.pump()


def assert_untouched(desk: Desk, refused: str) -> None:
    """Nothing was said or asked, the refusal was logged, and the node still works."""
    assert desk.server.replies() == [] and desk.runner.asked == []
    assert [line.level for line in desk.logged(f"refused a {refused}")] == ["warning"]
    desk.server.say(commit(OTHER))
    assert [reply.kind for reply in desk.server.replies()] == [NodeInput.ACK_COMMIT]


def changed(frames: Sequence[bytes], **fields: Any) -> Sequence[bytes]:
    """A signed command with other fields, signed again with the right key."""
    body = json.dumps(dict(json.loads(frames[1]), **fields)).encode()
    return framing.seal_hmac(KEY, body), body


def test_a_forged_signature_is_refused() -> None:
    desk = ready_desk()
    body = desk.server.body(commit())
    command(desk, framing.seal_hmac(bytes(32), body), body)
    assert_untouched(desk, "command")


def test_an_ack_of_the_same_bytes_is_no_replay() -> None:
    # Servers sign one ack per second for all their nodes, so one that reconnects twice hears it
    # twice.
    desk = ready_desk()
    frames = desk.server.frames(Ack())
    command(desk, *frames)
    command(desk, *frames)
    assert desk.logged("refused a command") == []


def test_a_changed_body_is_refused() -> None:
    desk = ready_desk()
    header, body = desk.server.frames(commit())
    command(desk, header, body.replace(b"chef-client", b"chef-bouncy"))
    assert_untouched(desk, "command")


def test_a_command_signed_with_the_right_rsa_key_is_refused() -> None:
    desk = ready_desk()
    body = desk.server.body(commit())
    command(desk, framing.seal_rsa(rsa_key(), body), body)
    assert_untouched(desk, "command")


@pytest.mark.parametrize("away", [-301.0, -300.0, 300.0, 86400.0])
def test_a_stale_or_future_command_is_refused(away: float) -> None:
    desk = ready_desk()
    wall = desk.now.wall + away
    command(desk, *desk.server.frames(commit(), wall=wall))
    assert_untouched(desk, "command")


@pytest.mark.parametrize("stamp", [None, 5, "", "yesterday", "2026-01-01T00:00:00Z", "x" * 5000])
def test_a_command_without_a_usable_timestamp_is_refused(stamp: Any) -> None:
    desk = ready_desk()
    command(desk, *changed(desk.server.frames(commit()), timestamp=stamp))
    assert_untouched(desk, "command")


def test_a_commit_and_a_run_that_are_replayed_are_refused() -> None:
    desk = ready_desk()
    first, second = desk.server.frames(commit()), desk.server.frames(Run(JOB))
    command(desk, *first)
    command(desk, *second)
    desk.ended()
    assert len(desk.server.replies()) == 3
    asked = len(desk.runner.asked)
    for frames in (first, second, first):
        command(desk, *frames)
    assert desk.server.replies() == [] and len(desk.runner.asked) == asked


def test_a_replay_is_remembered_over_new_settings_until_its_time_is_over() -> None:
    desk = ready_desk()
    frames = desk.server.frames(Abort(), wall=desk.now.wall + 299.0)
    command(desk, *frames)
    assert len(desk.server.replies()) == 1
    desk.advance(590.0)
    desk.reach()
    desk.transport.peer.received.clear()
    command(desk, *frames)
    assert desk.server.replies() == []


def test_an_abort_that_is_replayed_does_not_end_a_job() -> None:
    desk = ready_desk()
    frames = desk.server.frames(Abort())
    command(desk, *frames)
    desk.server.say(commit())
    desk.server.say(Run(JOB))
    command(desk, *frames)
    assert desk.runner.ops("abort") == [] and desk.state() is AgentState.RUNNING


@pytest.mark.parametrize("cut", ["header", "body", "one", "three", "none"])
def test_cut_messages_are_refused(cut: str) -> None:
    desk = ready_desk()
    header, body = desk.server.frames(commit())
    frames = {
        "header": (header[:-10], body),
        "body": (header, body[:-1]),
        "one": (header + body,),
        "three": (header, body, b""),
        "none": (),
    }[cut]
    command(desk, *frames)
    assert_untouched(desk, "command")


def test_messages_that_are_too_large_are_refused() -> None:
    desk = ready_desk()
    large = desk.server.frames(Commit(JOB, "x" * MAX_COMMAND))
    command(desk, *large)
    header, body = desk.server.frames(commit())
    command(desk, header + b";X:" + b"x" * 3000, body)
    assert_untouched(desk, "command")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"5", b"{", b"\xff", b"[" * 100_000])
def test_signed_bodies_that_are_no_object_are_refused(body: bytes) -> None:
    desk = ready_desk()
    command(desk, framing.seal_hmac(KEY, body), body)
    assert_untouched(desk, "command")


@pytest.mark.proves("P-13a")
@pytest.mark.parametrize("kind", ["output", None, 5, "", "heartbeat", ["run"], "x" * 5000])
def test_unknown_types_are_ignored(kind: Any) -> None:
    desk = ready_desk()
    command(desk, *changed(desk.server.frames(Ack()), type=kind))
    assert_untouched(desk, "command")


WRONG: Sequence[Dict[str, Any]] = [
    {"job_id": 5},
    {"job_id": {}},
    {"command": None},
    {"env": {"A": None}},
    {"env": []},
    {"dir": 5},
    {"file": {}},
]


@pytest.mark.parametrize("fields", WRONG)
def test_a_commit_with_wrong_types_is_refused(fields: Dict[str, Any]) -> None:
    desk = ready_desk()
    command(desk, *changed(desk.server.frames(commit()), **fields))
    [nack] = desk.server.replies()
    assert nack.kind is NodeInput.NACK_COMMIT and "no usable" in str(nack.reason)
    assert desk.runner.asked == []


def test_a_flood_of_commits_changes_nothing_for_the_job_that_runs() -> None:
    desk = running_desk()
    for number in range(500):
        desk.transport.peer.command(*desk.server.frames(commit(f"{number:032x}")))
    desk.pump()
    assert len(desk.server.replies()) == 500
    assert len(desk.runner.ops("check")) == 1
    desk.ended()
    assert [reply.kind for reply in desk.server.replies()] == [NodeInput.SUCCEEDED]


def test_a_flood_of_forgeries_makes_few_lines_in_the_log() -> None:
    desk = ready_desk()
    for _ in range(500):
        body = desk.server.body(commit())
        desk.transport.peer.command(framing.seal_hmac(bytes(32), body), body)
    desk.pump()
    assert len(desk.logged("refused a command")) == 1
    desk.advance(11.0)
    command(desk, b"x", b"y")
    assert desk.logged("refused a command")[1].fields["since_last"] == 500


def test_forgeries_do_not_count_as_an_answer_after_connecting() -> None:
    desk = Desk()
    desk.found()
    desk.reach()
    desk.transport.peer.drop()
    desk.transport.peer.accept()
    desk.pump()
    command(desk, *desk.server.frames(Ack(), wall=START.wall - 9999))
    desk.advance(7.0)
    assert desk.fetches == ["start", "unanswered"]


# Heartbeats


def beat_frames(desk: Desk, incarnation_id: str = "server-1", key: int = 0) -> Sequence[bytes]:
    body = desk.server.body(ServerHeartbeat("push01", incarnation_id))
    return framing.seal_rsa(rsa_key(key), body), body


def silent_for(desk: Desk) -> float:
    """Seconds until the agent thinks that the server is silent."""
    start = desk.now.steady
    while desk.session.online:
        desk.advance(1.0)
    return desk.now.steady - start


@pytest.mark.proves("P-13c")
def test_heartbeats_that_are_not_the_servers_do_not_keep_it_alive() -> None:
    desk = ready_desk()
    body = desk.server.body(ServerHeartbeat("push01", "server-1"))
    replay = beat_frames(desk)
    broadcast(desk, *replay)
    desk.advance(30.0)
    broadcast(desk, *beat_frames(desk, key=1))
    broadcast(desk, framing.seal_hmac(KEY, body), body)
    broadcast(desk, *replay)
    broadcast(desk, *desk.server.frames(Abort()))
    broadcast(desk, b"only one frame")
    broadcast(desk, replay[0], b"x" * 10_000)
    assert silent_for(desk) < 25.0
    assert desk.server.replies() == []


def test_a_signed_broadcast_that_is_no_heartbeat_does_nothing() -> None:
    desk = running_desk()
    body = desk.server.body(Abort())
    broadcast(desk, framing.seal_rsa(rsa_key(), body), body)
    assert desk.runner.ops("abort") == []
    assert len(desk.logged("refused a heartbeat")) == 1


def test_a_server_that_changes_its_incarnation_all_the_time_makes_no_storm() -> None:
    desk = ready_desk()
    for number in range(30):
        broadcast(desk, *beat_frames(desk, f"server-{number}"))
        desk.advance(0.1)
    assert len(desk.fetches) <= 4


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
def test_no_frames_at_all_can_raise(frames: Sequence[bytes], sub: bool) -> None:
    desk = Desk()
    desk.found()
    desk.reach()
    (broadcast if sub else command)(desk, *frames)
    assert desk.session.free


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
signed_fields = st.dictionaries(
    st.sampled_from(["job_id", "command", "user", "dir", "env", "file", "capture"]), json_values
)
types = st.sampled_from(["commit", "run", "abort", "ack", "confirm", "heartbeat"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(types, signed_fields), max_size=4))
def test_no_signed_fields_at_all_can_raise(said: Sequence[Tuple[str, Dict[str, Any]]]) -> None:
    desk = Desk()
    desk.found()
    desk.reach()
    for kind, fields in said:
        command(desk, *changed(desk.server.frames(Ack()), type=kind, **fields))
    desk.server.fields()

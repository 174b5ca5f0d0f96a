"""Sessions of nodes: new addresses, rehabilitation, and silence that is no heartbeat's."""

from __future__ import annotations

import pytest
from engine_desk import KEYS, START, EngineDesk

from push_jobs_wire.framing import seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Reply
from push_jobs_wire.states import AgentState, NodeInput

BUSY = Heartbeat(AgentState.RUNNING, JobRef("j1"))


def running(desk: EngineDesk) -> None:
    desk.old_agents("a")
    desk.start()
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.ACK_RUN)
    desk.sent.clear()


def say_from(
    desk: EngineDesk, address: bytes, message: "Heartbeat | Reply", incarnation: str = "one"
) -> None:
    body = desk.body("a", message, incarnation=incarnation)
    desk.raw([seal_hmac(KEYS["acme", "a"], body), body], "acme/a", address)


def test_a_new_address_of_the_same_agent_is_acknowledged_and_its_job_goes_on() -> None:
    desk = EngineDesk()
    running(desk)
    say_from(desk, b"@new", BUSY)
    assert desk.types("new") == ["ack"]
    assert desk.job() == ("running", {"a": "running"})
    desk.wait(3600)
    assert desk.types("new")[0] == "abort" and desk.types("a") == []


def test_a_wrong_signature_from_a_new_address_moves_nothing() -> None:
    desk = EngineDesk()
    running(desk)
    body = desk.body("a", BUSY)
    desk.raw([seal_hmac(b"x" * 32, body), body], "acme/a", b"@new")
    desk.beat("a", "unknown")
    assert desk.types("new") == [] and desk.types("a") == ["abort"]


def test_a_reply_of_a_new_incarnation_ends_nothing_but_its_heartbeat_does() -> None:
    desk = EngineDesk()
    running(desk)
    say_from(desk, b"@a", Reply(NodeInput.ACK_RUN, JobRef("j1")), "two")
    assert desk.job()[0] == "running"
    say_from(desk, b"@a", BUSY, "two")
    assert desk.job() == ("complete", {"a": "crashed"})


def test_aborts_are_repeated_ever_more_seldom_until_one_is_confirmed() -> None:
    desk = EngineDesk()
    desk.beat("a")
    times = [START]
    desk.types("a")
    while desk.now < START + 200:
        desk.wait(1)
        if int(desk.now - START) % 5 == 0:
            desk.beat("a")
        times += [desk.now] * desk.types("a").count("abort")
    pauses = [int(later - earlier) for earlier, later in zip(times, times[1:])]
    assert pauses[:8] == [1, 1, 1, 1, 2, 4, 8, 16]
    assert set(pauses[8:]) == {30}
    desk.reply("a", NodeInput.ABORTED, None)
    desk.wait(30)
    assert desk.types("a") == []


def test_more_confirmations_than_aborts_mean_nothing() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    for _ in range(4):
        desk.reply("a", NodeInput.ABORTED, None)
    assert desk.types("a") == [] and desk.engine.node(("acme", "a")).available


@pytest.mark.parametrize("kind", [NodeInput.ABORTED, NodeInput.NACK_COMMIT])
def test_a_node_that_never_sends_a_heartbeat_is_given_up(kind: NodeInput) -> None:
    desk = EngineDesk()
    for _ in range(5):
        desk.reply("a", kind, None)
        desk.wait(10)
    assert "node down" in desk.logged


def test_a_first_heartbeat_after_a_gap_does_not_end_the_session() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    desk.now += 35
    desk.beat("a")
    desk.wait(0)
    assert desk.engine.node(("acme", "a")).online

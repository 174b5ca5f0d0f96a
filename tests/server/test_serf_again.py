"""Commands over Serf that are sent again: lost starts, and cancels that nobody confirmed."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from engine_desk import EngineDesk
from serf_engine import desk_with, orders, proven, report

from push_jobs_server.engine.serf import ASK_AGAIN, PATIENCE, START_ATTEMPTS
from push_jobs_server.engine.serf_orders import NodeKind, Order
from push_jobs_server.records import Cancel, NodeChanged
from push_jobs_server.serf_records import RunReport, SerfChunk
from push_jobs_wire.states import NodeStatus

TIMEOUT = 3600


# Starts


def test_only_nodes_of_ours_are_asked_again() -> None:
    for ours, again in ((True, [("start", "j1", ("s1",))]), (False, [])):
        # What a heartbeat claims is not enough: a schob would run a job twice.
        desk = desk_with("s1", extended=True)
        proof = RunReport("gone", "s1", "running", ours=ours)
        desk.engine.serf.report(proof, (), lambda _: None)
        desk.start(nodes=("s1",))
        assert len(orders(desk)) == 1
        desk.engine.serf.heartbeat("s1", "up", True)
        assert orders(desk) == []
        desk.wait(ASK_AGAIN + 1)
        desk.engine.serf.heartbeat("s1", "up", True)
        assert orders(desk) == again
        report(desk, "s1", "running")
        desk.wait(ASK_AGAIN + 1)
        desk.engine.serf.heartbeat("s1", "up", True)
        assert orders(desk) == []


def unheard(desk: EngineDesk, *nodes: str) -> List[Tuple[str, str, Tuple[str, ...]]]:
    """What is sent after no Serf agent of these nodes acknowledged the start of j1."""
    order = Order("start", "j1", "chef-client", 3600, nodes, NodeKind.OURS)
    desk.engine.serf.unheard(order)
    return orders(desk)


def test_a_start_that_was_not_acknowledged_is_sent_again_to_nodes_of_ours() -> None:
    desk = desk_with("s1", "s2", "s3", "s4", "s5")
    for node in ("s1", "s3", "s4", "s5"):
        proof = RunReport("gone", node, "running", ours=True)
        desk.engine.serf.report(proof, (), lambda _: None)
    desk.engine.serf.heartbeat("s2", "up", True)
    desk.start(nodes=("s1", "s2", "s3", "s4"))
    orders(desk)
    report(desk, "s3", "running")
    desk.engine.serf.gone("s4", "its Serf agent failed")
    desk.store()
    # s2 has a schob perhaps, whatever a heartbeat claims; s3 has said something, s4 is down,
    # s5 is not in the job.
    assert unheard(desk, "s1", "s2", "s3", "s4") == [("start", "j1", ("s1",))]
    assert unheard(desk, "s1") == [("start", "j1", ("s1",))]
    report(desk, "s1", "succeeded")
    assert unheard(desk, "s1", "s5") == []


def test_a_start_is_not_sent_again_after_a_cancel() -> None:
    desk = desk_with("s1")
    desk.engine.serf.report(RunReport("gone", "s1", "running", ours=True), (), lambda _: None)
    desk.start(nodes=("s1",))
    orders(desk)
    desk.engine.serf.cancel("j1", "s1")
    desk.store()
    assert orders(desk) == [("cancel", "j1", ("s1",))]
    assert unheard(desk, "s1") == []


@pytest.mark.parametrize("how", ["no acknowledgement", "a heartbeat"])
def test_a_start_that_cannot_be_sent_again_ends_nothing(how: str) -> None:
    """The node may run the command since the first one."""
    desk = desk_with("s1")
    desk.engine.serf.report(RunReport("gone", "s1", "running", ours=True), (), lambda _: None)
    desk.start(nodes=("s1",))
    desk.collect()
    desk.store()
    (first,) = desk.engine.serf.take_orders()
    if how == "a heartbeat":
        desk.wait(ASK_AGAIN + 1)
        desk.engine.serf.heartbeat("s1", "up", True)
    else:
        desk.engine.serf.unheard(first)
    desk.collect()
    desk.store()
    (second,) = desk.engine.serf.take_orders()
    desk.engine.serf.refused(second, ["s1"], "the Serf agent of this server is away")
    desk.store()
    assert desk.job() == ("running", {"s1": "ready"})
    report(desk, "s1", "succeeded")
    assert desk.job() == ("complete", {"s1": "succeeded"})


def test_a_start_that_nobody_acknowledges_is_left_to_heartbeats_in_the_end() -> None:
    desk = proven(desk_with(), "s1")
    desk.start(nodes=("s1",))
    sent = len(orders(desk))
    for _ in range(10):
        sent += len(unheard(desk, "s1"))
    assert sent == START_ATTEMPTS
    desk.wait(ASK_AGAIN + 1)
    desk.engine.serf.heartbeat("s1", "up", True)
    assert orders(desk) == [("start", "j1", ("s1",))]


# Cancels


AGAIN = [("cancel", "j1", ("s1",))]


def cancelled(ours: bool = True) -> EngineDesk:
    """A desk whose job j1 runs on s1 and was cancelled there; the cancel is sent."""
    desk = proven(desk_with(), "s1") if ours else desk_with("s1", extended=True)
    desk.start(nodes=("s1",), run_timeout=TIMEOUT)
    report(desk, "s1", "running")
    orders(desk)
    job = desk.engine.jobs.by_id["j1"]
    job.cancel(Cancel("alice", "user", 0.0, ("s1",)), desk.engine.now)
    assert orders(desk) == AGAIN
    return desk


def beats(desk: EngineDesk, seconds: float = 1.0) -> List[Tuple[str, str, Tuple[str, ...]]]:
    """What is sent when the node's next heartbeat comes."""
    desk.wait(seconds)
    desk.engine.serf.heartbeat("s1", "up", True)
    return orders(desk)


def piece(desk: EngineDesk, is_last: bool) -> None:
    """The node sends a piece of its output."""
    chunk = SerfChunk("j1", "s1", "stdout", 0, 0, is_last, 0, 1, b"x")
    desk.engine.serf.chunks([chunk], lambda _: None)
    desk.collect()
    desk.store()


def test_a_cancel_is_sent_with_heartbeats_until_the_output_has_ended() -> None:
    """The agent may have been away when its Serf agent had the cancel."""
    desk = cancelled()
    assert beats(desk) == AGAIN and beats(desk) == AGAIN
    piece(desk, is_last=False)
    assert beats(desk) == AGAIN
    piece(desk, is_last=True)
    assert beats(desk) == []


@pytest.mark.parametrize("word, sent", [("running", AGAIN), ("succeeded", []), ("invalid", [])])
def test_a_cancel_is_confirmed_by_a_report_of_the_end(word: str, sent: List[object]) -> None:
    desk = cancelled()
    report(desk, "s1", word)
    assert beats(desk) == sent


def test_a_cancel_is_not_sent_again_when_the_command_has_ended_by_itself() -> None:
    desk = cancelled()
    desk.wait(TIMEOUT + PATIENCE + 60)
    desk.engine.tick()
    assert beats(desk, 1) == []


def test_a_cancel_over_serf_says_that_nothing_confirms_it() -> None:
    ended = [each for each in cancelled().stored if isinstance(each, NodeChanged)][-1]
    reason = "cancelled by alice; told over Serf, which confirms nothing"
    assert (ended.status, ended.outcome.reason) == (NodeStatus.ABORTED, reason)


def test_a_cancel_is_sent_once_to_who_may_have_a_schob() -> None:
    """It sends no last pieces at times, so its silence means nothing."""
    assert beats(cancelled(ours=False)) == []

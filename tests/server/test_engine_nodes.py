"""Nodes in the engine: joining, health, hostile frames, grants."""

from __future__ import annotations

import pytest
from engine_desk import KEYS, START, EngineDesk

from push_jobs_server.engine.access import MAX_GRANTS_PER_NODE, Access
from push_jobs_server.engine.node import Health, HealthRules
from push_jobs_server.records import Grant, GrantStored, NodeChanged
from push_jobs_wire.framing import seal_hmac
from push_jobs_wire.messages import Heartbeat
from push_jobs_wire.states import AgentState, NodeInput


def available(desk: EngineDesk, node: str = "a") -> bool:
    return desk.engine.node(("acme", node)).available


def running(desk: EngineDesk) -> None:
    desk.start()
    desk.reply("a", NodeInput.ACK_COMMIT)
    desk.reply("a", NodeInput.ACK_RUN)
    desk.types("a")


@pytest.mark.proves("P-4a")
def test_an_old_agent_is_aborted_until_it_confirms() -> None:
    desk = EngineDesk()
    desk.beat("a")
    assert (desk.types("a"), available(desk)) == (["abort"], False)
    desk.wait(1)
    assert desk.types("a") == ["abort"]
    desk.reply("a", NodeInput.ABORTED, None)
    assert available(desk)
    desk.wait(1)
    assert desk.types("a") == []


@pytest.mark.proves("P-4a")
def test_pauses_between_aborts_grow_to_half_a_minute() -> None:
    desk = EngineDesk()
    sent = []
    for second in range(150):
        if second % 10 == 0:
            desk.beat("a")
        sent += [second for _ in desk.types("a")]
        desk.wait(1)
    pauses = [later - sooner for sooner, later in zip(sent, sent[1:])]
    assert pauses[:4] == [1, 1, 1, 1] and pauses == sorted(pauses) and pauses[-1] == 30


def test_two_aborts_in_one_second_differ() -> None:
    desk = EngineDesk()
    desk.beat("a")
    desk.reply("a", NodeInput.ABORTED, None)
    desk.beat("a", "unknown")
    (_, first), (_, second) = desk.sent
    assert (first["type"], second["type"]) == ("abort", "abort")
    assert first["timestamp"] == second["timestamp"]
    assert first["sequence"] != second["sequence"]


def test_a_question_that_is_asked_again_in_the_same_second_is_no_replay() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    desk.sent.clear()
    desk.start()
    desk.beat("a", extensions=1, jobs=(), incarnation="two")
    first, second = (fields for _, fields in desk.sent if fields["type"] == "commit")
    assert first["timestamp"] == second["timestamp"]
    assert first["sequence"] != second["sequence"]


@pytest.mark.proves("P-7a")
def test_an_old_agent_that_is_idle_twice_lost_its_job() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    running(desk)
    desk.beat("a")
    assert desk.job()[0] == "running"
    desk.beat("a")
    assert desk.job() == ("complete", {"a": "crashed"})


def test_a_new_incarnation_of_an_old_agent_lost_its_job() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    running(desk)
    desk.beat("a", incarnation="two")
    assert desk.job() == ("complete", {"a": "crashed"})
    assert desk.types("a")[-1] == "abort"


def test_an_agent_that_lists_its_jobs_is_adopted() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    assert (desk.types("a"), available(desk)) == (["ack"], True)


def test_a_listed_job_goes_on_in_a_new_incarnation() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    running(desk)
    desk.beat("a", "j1", extensions=1, jobs=("j1",), incarnation="two")
    assert desk.job() == ("running", {"a": "running"})
    assert desk.types("a") == ["ack"]


def test_a_job_that_is_not_listed_any_more_has_crashed() -> None:
    desk = EngineDesk()
    desk.beat("a", extensions=1, jobs=())
    running(desk)
    desk.beat("a", extensions=1, jobs=(), incarnation="two")
    assert desk.job() == ("complete", {"a": "crashed"})
    desk.store()
    last = [c for c in desk.stored if isinstance(c, NodeChanged)][-1]
    assert last.outcome.reason == "the agent came back without any trace of the job"


def test_a_node_without_heartbeats_goes_down() -> None:
    desk = EngineDesk()
    desk.old_agents("a")
    running(desk)
    for _ in range(4):
        desk.wait(10)
    assert desk.job() == ("complete", {"a": "crashed"})
    assert not desk.engine.node(("acme", "a")).online


@pytest.mark.parametrize(
    ("beats", "averages"),
    [(1, (1.15, 0.8625, 0.646875, 0.48515625)), (100, (1.0, 0.75, 0.5625))],
)
def test_the_health_of_annex_a(beats: int, averages: "tuple[float, ...]") -> None:
    health = Health(HealthRules(), 0.0)
    for number in range(1, beats):
        health.beat(10.0 * number)
    last = 10.0 * (beats - 1)
    for number, expected in enumerate(averages, 1):
        assert health.average(last + 10.0 * number) == pytest.approx(expected, abs=1e-6)
        assert health.down(last + 10.0 * number) == (expected < 0.6)


@pytest.mark.parametrize(
    "reason", ["foreign", "too_large", "malformed", "bad_signature", "bad_clock", "unknown_node"]
)
def test_a_bad_message_is_counted_and_changes_nothing(reason: str) -> None:
    desk = EngineDesk()
    body = desk.body("a", Heartbeat(), at=START - 300 if reason == "bad_clock" else None)
    if reason == "unknown_node":
        body = desk.body("stranger", Heartbeat())
    if reason == "too_large":
        body = body[:-1] + b" " * 65536 + b"}"
    frames = [seal_hmac(KEYS["acme", "a"], body), body]
    if reason == "malformed":
        frames = frames[:1]
    if reason == "bad_signature":
        frames[0] = seal_hmac(b"x" * 32, body)
    user = {"foreign": "acme/b", "unknown_node": None}.get(reason, "acme/a")
    desk.raw(frames, user)
    assert dict(desk.engine.inbox.dropped) == {reason: 1}
    assert (desk.sent, len(desk.engine.roster)) == ([], 0)


def test_another_organization_is_foreign() -> None:
    desk = EngineDesk()
    body = desk.body("a", Heartbeat(), org="other")
    desk.raw([seal_hmac(KEYS["other", "a"], body), body], "acme/a")
    assert dict(desk.engine.inbox.dropped) == {"foreign": 1}


def test_a_replay_is_counted_and_ignored() -> None:
    desk = EngineDesk()
    body = desk.body("a", Heartbeat(AgentState.IDLE))
    frames = [seal_hmac(KEYS["acme", "a"], body), body]
    desk.raw(frames, "acme/a")
    desk.raw(frames, "acme/a")
    assert dict(desk.engine.inbox.dropped) == {"replayed": 1}
    assert len(desk.engine.roster) == 1


@pytest.mark.parametrize("cut", range(0, 190, 7))
def test_cut_bodies_are_never_fatal(cut: int) -> None:
    desk = EngineDesk()
    body = desk.body("a", Heartbeat())[:cut]
    desk.raw([seal_hmac(KEYS["acme", "a"], body), body], "acme/a")
    assert dict(desk.engine.inbox.dropped) == {"malformed": 1}


def test_a_reply_about_a_job_of_others_is_counted() -> None:
    desk = EngineDesk()
    desk.old_agents("a", "b")
    desk.start()
    desk.reply("b", NodeInput.ACK_COMMIT)
    assert desk.engine.inbox.dropped["foreign_job"] == 1
    assert desk.job() == ("voting", {"a": "new"})


def test_a_grant_ends_at_its_time() -> None:
    access = Access({}, [Grant("K", "acme", "a", 10.0)])
    assert access.user_id("K", 9.9) == "acme/a"
    assert access.user_id("K", 10.0) is None
    assert access.user_id("other", 0.0) is None


def test_a_node_keeps_its_newest_grants() -> None:
    grants = [Grant(f"K{n}", "acme", "a", 10.0) for n in range(MAX_GRANTS_PER_NODE + 1)]
    access = Access({}, [Grant("B", "acme", "b", 10.0), *grants])
    held = [grant.curve_key for grant in grants if access.user_id(grant.curve_key, 0.0)]
    assert held == [f"K{n}" for n in range(1, 9)]
    assert access.user_id("B", 0.0) == "acme/b"


def test_a_node_is_admitted_once_its_grant_is_stored() -> None:
    desk = EngineDesk()
    grant = Grant("K", "acme", "a", START + 10)
    desk.engine.admission.admit(grant, b"new", desk.answers.append)
    desk.collect()
    assert desk.answers == []
    desk.store()
    assert (desk.answers, desk.stored) == ([KEYS["acme", "a"]], [GrantStored(grant)])

"""What the session tells the server of the whitelist: when, and in which parts."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from agent_desk import Desk, commit, ready_desk, server_settings

from push_jobs_agent.runnable import RunnableNames
from push_jobs_wire.heartbeats import Runnable
from push_jobs_wire.messages import Ack, Heartbeat, Run

NAMES = ("chef-client", "deploy .*")


def connected(names: "list[str]", max_body_size: int = 63000, extensions: int = 1) -> Desk:
    """A desk that has just sent its first heartbeat."""
    desk = Desk(max_body_size)
    desk.do(desk.session.runner_found({"ok": True, "pid": 1, "names": names}, desk.now))
    desk.pump()
    settings = server_settings(extensions=extensions)
    desk.do(desk.session.settings_fetched(settings, desk.now))
    desk.transport.peer.accept()
    desk.pump()
    return desk


def beat_again(desk: Desk, seconds: float) -> Heartbeat:
    desk.server.say(Ack())
    desk.advance(seconds)
    return desk.server.heartbeats()[-1]


def test_the_first_heartbeat_tells_what_can_be_run_and_the_next_ones_do_not() -> None:
    desk = connected(list(NAMES))
    (first,) = desk.server.heartbeats()
    assert first.runnable == Runnable(NAMES)
    assert beat_again(desk, 1.0).runnable is None


def test_a_new_connection_is_told_again() -> None:
    desk = connected(list(NAMES))
    beat_again(desk, 1.0)
    desk.transport.peer.drop()
    desk.transport.peer.accept()
    desk.pump()
    (first,) = desk.server.heartbeats()
    assert first.runnable == Runnable(NAMES)


def test_a_reload_is_told_at_once_without_the_ids_of_jobs() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.server.say(Run(commit().job_id))
    desk.server.heard()
    desk.do(desk.session.whitelist_loaded(["other"], desk.now))
    (told,) = desk.server.heartbeats()
    assert (told.runnable, told.jobs) == (Runnable(("other",)), None)
    assert told.job.id == commit().job_id
    desk.do(desk.session.whitelist_loaded(["other"], desk.now))
    assert desk.server.heard() == []


def test_many_names_go_out_in_parts_that_fit() -> None:
    names = [f"name-{number}-{'x' * 40}" for number in range(60)]
    desk = connected(names, max_body_size=4096)
    sizes = [len(body) for _, body in desk.transport.peer.received]
    parts = [desk.server.heartbeats()[0].runnable]
    while parts[-1] is not None and parts[-1].more:
        desk.server.say(Ack())
        desk.advance(10.0, beats=True)
        sizes += [len(body) for _, body in desk.transport.peer.received]
        parts += [beat.runnable for beat in desk.server.heartbeats()]
    told: List[str] = []
    for part in parts:
        assert part is not None and part.first == len(told)
        told += part.names
    assert told == names and len(parts) > 2 and max(sizes) < 4096


def test_an_old_server_is_never_told() -> None:
    desk = connected(list(NAMES), extensions=0)
    desk.do(desk.session.whitelist_loaded(["other"], desk.now))
    desk.advance(10.0, beats=True)
    assert [beat.runnable for beat in desk.server.heartbeats()].count(None) >= 2
    assert not [body for body in desk.server.fields() if "names" in body]


@pytest.mark.parametrize(
    ("names", "told"),
    [((), ()), (("a", "x" * 200, "b"), ("a", "b")), (("x" * 200,), ())],
)
def test_a_name_that_does_not_fit_is_left_out(
    names: Tuple[str, ...], told: Tuple[str, ...]
) -> None:
    runnable = RunnableNames()
    assert runnable.take(100) is None
    assert runnable.learn(list(names))
    found: List[str] = []
    for _ in names:
        part = runnable.take(100)
        found += [] if part is None else part.names
    assert tuple(found) == told
    assert not names or runnable.take(100) is None

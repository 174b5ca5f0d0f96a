"""The session machine and its connection: settings, heartbeats, thresholds, starting afresh."""

from __future__ import annotations

from dataclasses import replace
from typing import List

import pytest
from agent_desk import JOB, Desk, commit, ready_desk, running_desk, server_settings, spooled

from push_jobs_wire.heartbeats import Runnable
from push_jobs_wire.messages import Abort, Ack, Heartbeat, JobRef, Run
from push_jobs_wire.states import AgentState


def starting_desk(*jobs: str, extensions: int = 1) -> Desk:
    desk = Desk()
    desk.found(*(spooled(job) for job in jobs))
    desk.pump()
    settings = server_settings(extensions=extensions)
    desk.do(desk.session.settings_fetched(settings, desk.now))
    return desk


@pytest.mark.proves("P-8a")
def test_settings_are_fetched_first_and_once() -> None:
    desk = Desk()
    desk.found()
    desk.advance(3600.0)
    assert desk.fetches == ["start"]
    assert desk.transport.peer.opened == []


def test_no_connection_is_made_before_the_spool_is_known() -> None:
    desk = Desk()
    desk.pump()
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    assert desk.transport.peer.opened == []
    desk.found()
    assert desk.transport.peer.opened == [server_settings()]


def test_the_first_heartbeat_comes_with_the_connection_and_the_second_soon_after() -> None:
    desk = starting_desk()
    assert desk.server.heard() == []
    desk.transport.peer.accept()
    desk.pump()
    assert desk.server.heard() == [
        Heartbeat(extensions=1, jobs=(), version="0.1.0", runnable=Runnable())
    ]
    desk.server.say(Ack())
    desk.advance(1.0)
    assert desk.server.heard() == [Heartbeat(extensions=1)]
    desk.advance(9.9)
    assert desk.server.heard() == []
    desk.advance(0.1)
    assert desk.server.heard() == [Heartbeat(extensions=1)]


def test_an_old_server_gets_no_list_but_hears_that_we_speak_extensions() -> None:
    desk = starting_desk(extensions=0)
    desk.transport.peer.accept()
    desk.pump()
    [fields] = desk.server.fields()
    assert fields["extensions"] == 1 and fields["job_state"] == "idle"
    assert not {"jobs", "version", "platform", "names"} & set(fields)


def test_the_first_heartbeat_lists_the_spool_and_names_the_job_that_runs() -> None:
    desk = Desk()
    ended = spooled("ended-job", state="ended", result="succeeded")
    desk.found(ended, spooled(JOB))
    desk.pump()
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    assert desk.server.heard() == [
        Heartbeat(
            AgentState.RUNNING,
            JobRef(JOB),
            1,
            jobs=(JOB, "ended-job"),
            version="0.1.0",
            runnable=Runnable(),
        )
    ]


def test_a_job_that_is_voted_for_is_in_the_list_too() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.server.heard()
    desk.transport.peer.drop()
    desk.transport.peer.accept()
    desk.pump()
    [heartbeat] = desk.server.heartbeats()
    assert heartbeat.jobs == (JOB,) and heartbeat.state is AgentState.COMMITTED


def test_a_long_list_is_cut_so_that_the_message_fits() -> None:
    desk = Desk(max_body_size=4096)
    ids = [f"{number:032x}" for number in range(500)]
    desk.found(*(spooled(job, state="ended", result="failed") for job in ids))
    desk.pump()
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    first = desk.transport.peer.received[0]
    assert len(first[1]) < 4096
    assert 10 < len(desk.server.heartbeats()[0].jobs or ()) < 500


def test_heartbeats_start_anew_when_the_transport_has_reconnected() -> None:
    desk = ready_desk()
    desk.transport.peer.drop()
    desk.pump()
    desk.advance(15.0)
    assert desk.server.heard() == []
    desk.transport.peer.accept()
    desk.pump()
    assert desk.server.heard() == [
        Heartbeat(extensions=1, jobs=(), version="0.1.0", runnable=Runnable())
    ]
    desk.server.say(Ack())
    desk.advance(1.0)
    assert len(desk.server.heard()) == 1


def test_heartbeats_do_not_drift() -> None:
    desk = ready_desk()
    desk.advance(100.0, beats=True)
    assert len(desk.server.heartbeats()) == 10


@pytest.mark.proves("P-14c")
def test_a_silent_server_goes_offline_and_new_settings_are_fetched() -> None:
    desk = ready_desk()
    desk.fetches.clear()
    desk.chance = 0.5
    desk.advance(40.0)
    assert desk.session.online
    desk.advance(10.0)
    assert not desk.session.online and desk.fetches == []
    desk.advance(5.0)
    assert desk.fetches == ["silence"]
    desk.server.heard()
    desk.advance(60.0)
    assert desk.server.heard() == []


def test_an_offline_server_comes_back_after_enough_heartbeats() -> None:
    desk = ready_desk()
    desk.advance(60.0)
    for _ in range(3):
        desk.server.beat()
        assert not desk.session.online
    desk.server.beat()
    assert desk.session.online
    desk.server.heard()
    desk.advance(10.0)
    assert len(desk.server.heartbeats()) == 1


def test_an_offline_server_still_gets_replies() -> None:
    desk = running_desk()
    desk.advance(60.0)
    desk.server.heard()
    desk.server.say(Abort())
    desk.ended(result="aborted")
    assert len(desk.server.replies()) == 1


@pytest.mark.proves("P-14c")
def test_a_server_that_says_nothing_after_connecting_is_asked_for_new_settings() -> None:
    desk = starting_desk()
    desk.transport.peer.accept()
    desk.pump()
    desk.advance(3.9)
    assert desk.fetches == ["start"]
    desk.advance(0.2)
    desk.advance(2.0)
    assert desk.fetches == ["start", "unanswered"]


def test_the_ack_rule_slows_down_and_reading_goes_on() -> None:
    desk = Desk()
    desk.found()
    times: List[float] = []
    for _ in range(10):
        while len(times) == len(desk.fetches):
            desk.advance(0.5)
        times.append(desk.now.steady)
        desk.do(desk.session.settings_fetched(server_settings(), desk.now))
        desk.transport.peer.accept()
        desk.pump()
    pauses = [later - sooner for sooner, later in zip(times, times[1:])]
    assert pauses[0] < 8 and pauses[-1] > 30
    desk.server.say(Ack())
    desk.server.heard()
    desk.server.say(Abort())
    assert len(desk.server.replies()) == 1


def test_without_encryption_silence_after_connecting_means_nothing() -> None:
    desk = Desk()
    desk.found()
    desk.pump()
    desk.do(desk.session.settings_fetched(server_settings(curve_key=None), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    desk.advance(20.0, beats=True)
    assert desk.fetches == ["start"]


@pytest.mark.proves("P-8a", "P-9c")
def test_a_refused_connection_needs_new_settings_and_a_new_socket() -> None:
    desk = ready_desk()
    for _ in range(5):
        desk.transport.peer.refuse("the server does not admit our key")
        desk.pump()
    assert desk.fetches == ["start", "refused"]
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    assert len(desk.transport.peer.opened) == 2


def test_fetching_is_tried_again_with_growing_pauses_up_to_a_minute() -> None:
    desk = Desk()
    desk.found()
    times: List[float] = []
    for _ in range(12):
        while len(desk.fetches) == len(times):
            desk.advance(0.5)
        times.append(desk.now.steady)
        desk.do(desk.session.fetch_failed("connection refused", desk.now))
    pauses = [later - sooner for sooner, later in zip(times, times[1:])]
    assert pauses[0] <= 1.5
    assert all(sooner <= later for sooner, later in zip(pauses, pauses[1:]))
    assert 29 <= pauses[-1] <= 60
    assert desk.logs[-1].fields["reason"] == "connection refused"


def test_a_refusal_after_failed_fetches_tells_that_the_server_is_back_once() -> None:
    desk = ready_desk()
    desk.fetches.clear()
    desk.transport.peer.drop()
    desk.do(desk.session.refresh(desk.now))
    for _ in range(6):
        desk.advance(60.0)
        desk.do(desk.session.fetch_failed("away", desk.now))
    desk.fetches.clear()
    desk.transport.peer.refuse("its key may have changed")
    desk.pump()
    desk.advance(0.4)
    assert desk.fetches == []
    desk.advance(0.6)
    assert desk.fetches == ["the server is back"]
    desk.do(desk.session.fetch_failed("away", desk.now))
    desk.transport.peer.refuse("its key may have changed")
    desk.advance(10.0)
    assert len(desk.fetches) == 1


def test_a_failed_fetch_leaves_the_connection_alone() -> None:
    desk = ready_desk()
    desk.do(desk.session.refresh(desk.now))
    desk.advance(2.0)
    assert desk.fetches[-1] == "operator"
    desk.do(desk.session.fetch_failed("status 502", desk.now))
    desk.server.say(commit())
    assert len(desk.server.replies()) == 1
    assert len(desk.transport.peer.opened) == 1


@pytest.mark.proves("P-14b")
@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 200.0), (1.0, 180.0)])
def test_settings_are_fetched_again_before_their_life_ends(chance: float, seconds: float) -> None:
    desk = Desk()
    desk.chance = chance
    desk.found()
    desk.reach(lifetime=200.0)
    desk.advance(seconds - 10.0, beats=True)
    assert desk.fetches == ["start"]
    desk.advance(10.0, beats=True)
    assert desk.fetches == ["start", "lifetime"]


@pytest.mark.proves("P-14a")
def test_a_new_incarnation_is_followed_within_one_interval() -> None:
    desk = ready_desk()
    desk.chance = 0.9
    desk.server.beat()
    desk.server.beat("server-2")
    desk.advance(8.0)
    assert desk.fetches == ["start"]
    desk.advance(1.1)
    assert desk.fetches == ["start", "new incarnation"]
    desk.do(desk.session.settings_fetched(server_settings(incarnation_id="server-2"), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    desk.server.say(Ack())
    desk.server.beat("server-2")
    desk.advance(20.0)
    assert len(desk.fetches) == 2


def test_a_server_that_told_no_incarnation_is_taken_at_its_first_heartbeat() -> None:
    desk = ready_desk(incarnation_id=None)
    desk.server.beat("server-7")
    desk.advance(20.0)
    assert desk.fetches == ["start"]
    desk.server.beat("server-8")
    desk.advance(20.0)
    assert desk.fetches == ["start", "new incarnation"]


def test_a_planned_fetch_waits_for_a_job_of_an_old_server() -> None:
    desk = running_desk(extensions=0)
    desk.server.beat("server-2")
    desk.do(desk.session.refresh(desk.now))
    desk.advance(500.0, beats=True)
    assert desk.fetches == ["start"]
    desk.ended()
    assert desk.fetches == ["start"]
    desk.advance(2.0)
    assert len(desk.fetches) == 2


def test_a_job_of_a_new_server_does_not_keep_it_from_being_followed() -> None:
    desk = running_desk()
    desk.do(desk.session.refresh(desk.now))
    assert desk.fetches == ["start"]
    desk.advance(3.0)
    assert desk.fetches == ["start", "operator"]
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.transport.peer.accept()
    desk.pump()
    [heartbeat] = desk.server.heartbeats()
    assert heartbeat.state is AgentState.RUNNING and heartbeat.jobs == (JOB,)


def test_new_settings_wait_while_a_vote_was_given_and_are_fetched_anew_when_stale() -> None:
    desk = ready_desk()
    desk.do(desk.session.refresh(desk.now))
    desk.advance(1.0)
    desk.server.say(commit())
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.advance(60.0, beats=True)
    assert len(desk.transport.peer.opened) == 1
    desk.server.say(Run(JOB))
    desk.ended()
    desk.advance(3.0)
    assert desk.fetches == ["start", "operator", "stale settings"]
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    assert len(desk.transport.peer.opened) == 2


def test_settings_that_wait_are_used_at_once_when_the_connection_breaks() -> None:
    desk = ready_desk()
    desk.do(desk.session.refresh(desk.now))
    desk.advance(1.0)
    desk.server.say(commit())
    desk.do(desk.session.settings_fetched(server_settings(), desk.now))
    desk.transport.peer.drop()
    desk.pump()
    desk.pump()
    assert len(desk.transport.peer.opened) == 2


def test_the_new_session_key_counts_after_new_settings() -> None:
    desk = ready_desk()
    desk.do(desk.session.refresh(desk.now))
    desk.advance(2.0)
    desk.server.key = bytes(32)
    settings = replace(server_settings(), session_key=bytes(32))
    desk.do(desk.session.settings_fetched(settings, desk.now))
    desk.transport.peer.accept()
    desk.pump()
    desk.server.say(Abort())
    assert len(desk.server.heard()) == 2


def test_a_full_queue_is_noticed_and_leads_to_new_settings() -> None:
    desk = ready_desk()
    desk.transport.peer.full = True
    desk.advance(10.0)
    assert len(desk.logged("could not send a message")) == 1
    desk.advance(10.0, beats=True)
    assert "cannot send" in desk.fetches


def test_a_wish_for_settings_while_they_are_on_their_way_is_fulfilled_by_them() -> None:
    desk = Desk()
    desk.pump()
    desk.do(desk.session.refresh(desk.now))
    desk.advance(100.0)
    assert desk.fetches == ["start"]

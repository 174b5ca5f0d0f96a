"""The small parts of the end over Serf: heartbeats, disk, and the socket to the Serf agent."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import msgpack
import pytest
from fake_serf import FakeSerf
from serf_desk import JOB, NODE, SerfDesk
from waiting import wait_until

from push_jobs_agent.accepted import REMEMBERED, Accepted
from push_jobs_agent.errors import AgentError
from push_jobs_agent.serf_pulse import Pulse
from push_jobs_agent.serf_run import Run
from push_jobs_agent.serf_store import SerfStore
from push_jobs_agent.transports.serf import ENTER_WITHIN, SerfTransport, Turn
from push_jobs_wire import serf_rpc
from push_jobs_wire.serf_link import SerfLink

# Heartbeats


def test_a_heartbeat_at_once_and_every_half_minute() -> None:
    pulse = Pulse(NODE)
    assert pulse.payload == b'{"node":"%s","status":"up","extensions":"1"}' % NODE.encode()
    assert not pulse.due(0.0) and pulse.next_call() is None
    pulse.connected(10.0)
    assert pulse.due(10.0)
    pulse.sent(1, 10.0)
    assert not pulse.due(39.9) and pulse.due(40.0) and pulse.next_call() == 40.0
    pulse.lost()
    assert not pulse.due(100.0)


DONE: Dict[str, Any] = {"Type": "done", "From": "", "Payload": None}


def test_a_heartbeat_without_an_answer_is_told_once() -> None:
    pulse = Pulse(NODE)
    pulse.connected(0.0)
    made_up = {"Type": "response", "From": "", "Payload": None}
    told = []
    answer = dict(made_up, From="server")
    for number, record in enumerate([made_up, made_up, made_up, answer, made_up], 1):
        pulse.sent(number, 0.0)
        assert not pulse.reply(number, record, 3.0)
        assert not pulse.reply(number + 100, DONE, 3.0)
        told.append(pulse.reply(number, DONE, 3.0))
        assert pulse.due(3.0) == (number == 1)  # the first one may have got lost
    assert told == [False, True, False, False, True]
    pulse.sent(9, 0.0)
    assert pulse.refused(9) and not pulse.refused(9)


# Disk


def test_the_folder_is_ours_alone(tmp_path: Path) -> None:
    store = SerfStore(str(tmp_path / "a" / "serf"))
    store.keep(JOB, {"x": 1}, True)
    for path in (tmp_path / "a" / "serf").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match="serf_state_dir"):
        SerfStore(str(tmp_path / "file" / "serf"))


def test_runs_are_written_read_and_dropped(tmp_path: Path) -> None:
    store = SerfStore(str(tmp_path))
    run = Run(JOB, NODE, "chef-client", 300)
    store.keep(JOB, run.record(), True)
    run.started()
    store.keep(JOB, run.record(), False)
    (again,) = SerfStore(str(tmp_path)).runs(NODE)
    assert again.record() == run.record() and not again.fresh
    store.drop(JOB)
    store.drop(JOB)
    assert store.runs(NODE) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"command": "x"}', "\xff"])
def test_what_is_not_understood_is_left_alone(tmp_path: Path, text: str) -> None:
    store = SerfStore(str(tmp_path))
    path = tmp_path / "runs" / f"{JOB}.json"
    path.write_text(text)
    (tmp_path / "runs" / "note.txt").touch()
    assert store.runs(NODE) == [] and path.exists()


def test_accepted_commands_outlive_the_agent_and_a_torn_line(tmp_path: Path) -> None:
    store = SerfStore(str(tmp_path))
    accepted = store.accepted()
    for action in ("start", "cancel"):
        accepted.add(action, JOB, 5.0, 900.0)
        store.remember((5.0, action, JOB), accepted, durable=True)
    with open(tmp_path / "accepted", "ab") as file:
        file.write(b"7.0 sta")
    store = SerfStore(str(tmp_path))
    again = store.accepted()
    assert list(again) == [(5.0, "start", JOB), (5.0, "cancel", JOB)]
    assert again.knows("start", JOB) and not again.knows("start", "0" * 32)
    for number in (1, 2):
        store.remember((8.0, "start", f"{number:032}"), again, durable=True)
    later = SerfStore(str(tmp_path)).accepted()
    assert [job_id for _, _, job_id in later] == [JOB, JOB, "0" * 31 + "1", "0" * 31 + "2"]


def test_a_command_is_on_the_disk_before_its_run_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the run itself tells that it was accepted."""
    store = SerfStore(str(tmp_path))
    done: List[str] = []
    fsync, unlink = os.fsync, os.unlink

    def synced(fd: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def removed(path: str) -> None:
        done.append(path)
        unlink(path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "unlink", removed)
    store.keep(JOB, {}, durable=True)
    done.clear()
    store.remember((5.0, "start", JOB), store.accepted(), durable=False)
    assert done == []
    for _ in range(2):
        store.drop(JOB)
    run = str(tmp_path / "runs" / f"{JOB}.json")
    assert done == [str(tmp_path / "accepted"), run, run]


def test_the_list_of_accepted_commands_is_bounded(tmp_path: Path) -> None:
    store = SerfStore(str(tmp_path))
    accepted = store.accepted()
    lines = [f"1.0 start {number:032x}\n" for number in range(2 * REMEMBERED)]
    (tmp_path / "accepted").write_text("".join(lines))
    accepted = store.accepted()
    assert len(accepted) == 2 * REMEMBERED
    accepted.add("start", JOB, 1e9, 900.0)
    store.remember((1e9, "start", JOB), accepted, durable=True)
    assert len((tmp_path / "accepted").read_text().splitlines()) == REMEMBERED
    young = Accepted((1e9, "start", f"{number:032x}") for number in range(REMEMBERED))
    young.add("start", JOB, 1e9 + 1.0, 900.0)
    assert len(young) == REMEMBERED + 1  # their times would still pass


def test_keys_that_sign_with_sha256(tmp_path: Path) -> None:
    store = SerfStore(str(tmp_path))
    assert not store.needs_256((15, 3))
    store.need_256((15, 3))
    store.need_256((21, 3))
    again = SerfStore(str(tmp_path))
    assert again.needs_256((15, 3)) and again.needs_256((21, 3)) and not again.needs_256((33, 3))


# The socket


@pytest.fixture
def fake() -> Iterator[FakeSerf]:
    made = FakeSerf()
    yield made
    made.close()


class Driver:
    """Turns a transport, with a clock of its own."""

    def __init__(self, fake: FakeSerf, key: Optional[str] = None) -> None:
        self.transport = SerfTransport(fake.address, SerfLink(key, "query:shovey"))
        self.now = 100.0
        self.turns: List[Turn] = []

    def turn(self) -> Turn:
        self.turns.append(self.transport.turn(self.now))
        return self.turns[-1]

    def until(self, condition: Any) -> Turn:
        found: Turn = wait_until(lambda: (turn := self.turn()) and condition(turn) and turn)
        return found

    def enter(self, fake: FakeSerf) -> None:
        self.turn()
        fake.accept()
        wait_until(lambda: self.turn() and not self.transport.writer, "the handshake")
        header, _ = fake.next(), fake.next()
        assert header["Command"] == "handshake"
        fake.say({"Error": "", "Seq": header["Seq"]})
        wait_until(lambda: self.turn() and fake.has_more(), "the stream")
        header, body = fake.next(), fake.next()
        assert (header["Command"], body) == ("stream", {"Type": "query:shovey"})
        fake.say({"Error": "", "Seq": header["Seq"]})
        self.until(lambda turn: turn.entered)
        self.stream = header["Seq"]


def test_a_query_comes_through(fake: FakeSerf) -> None:
    driver = Driver(fake)
    driver.enter(fake)
    assert driver.transport.reader is not None and driver.transport.next_call() is None
    query = {"Event": "query", "ID": 1, "LTime": 1, "Name": "shovey", "Payload": b"{}"}
    fake.say({"Error": "", "Seq": driver.stream}, query)
    (record,) = driver.until(lambda turn: turn.records).records
    assert serf_rpc.payload_of((record.body or {})["Payload"]) == b"{}"
    driver.transport.link.event("goiardi-join", b"n", True)
    assert driver.transport.writer is not None
    driver.turn()
    assert driver.transport.writer is None and fake.next()["Command"] == "event"
    driver.transport.close()


@pytest.mark.parametrize("words", [b"\xc1", b"\x93", msgpack.packb([1]), msgpack.packb({"a": 1})])
def test_nonsense_and_an_end_are_survived(fake: FakeSerf, words: bytes) -> None:
    driver = Driver(fake)
    driver.enter(fake)
    assert fake.peer is not None
    fake.peer.sendall(words)
    fake.peer.close()
    lost = driver.until(lambda turn: turn.lost)
    assert lost.lost and driver.transport.reader is None
    due = driver.transport.next_call()
    assert due is not None and due > driver.now
    driver.now = due
    driver.enter(fake)
    driver.transport.close()


def test_what_came_before_the_end_counts(fake: FakeSerf) -> None:
    driver = Driver(fake)
    driver.enter(fake)
    assert fake.peer is not None
    fake.say({"Error": "", "Seq": driver.stream}, {"Event": "query", "Name": "shovey"})
    fake.peer.close()
    driver.until(lambda turn: turn.lost)
    assert [len(turn.records) for turn in driver.turns if turn.records] == [1]


def test_nobody_listens_then_pauses_grow(fake: FakeSerf) -> None:
    driver = Driver(fake)
    fake.listener.close()
    pauses = []
    for _ in range(8):
        turn = driver.until(lambda turn: turn.lost)
        assert turn.lost == "Connection refused"
        due = driver.transport.next_call()
        assert due is not None
        pauses.append(round(due - driver.now, 1))
        driver.now = due
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@pytest.mark.parametrize("host", ["localhost", "no-such-host.invalid", "x" * 70])
def test_names(fake: FakeSerf, host: str) -> None:
    driver = Driver(fake)
    driver.transport = SerfTransport((host, fake.address[1]), SerfLink(None, "query:shovey"))
    if host == "localhost":
        fake.listener.setblocking(False)
        wait_until(lambda: next_attempt(driver) and accepted(fake), "the right address")
        driver.transport.close()
    else:
        assert driver.until(lambda turn: turn.lost).lost


def next_attempt(driver: Driver) -> bool:
    driver.now = max(driver.now, driver.transport.next_call() or 0.0)
    driver.turn()
    return True


def accepted(fake: FakeSerf) -> bool:
    try:
        fake.accept()
    except BlockingIOError:
        return False
    return True


def test_an_agent_that_says_nothing_is_tried_again(fake: FakeSerf) -> None:
    driver = Driver(fake)
    driver.turn()
    fake.accept()
    driver.now += ENTER_WITHIN
    assert "said nothing" in str(driver.until(lambda turn: turn.lost).lost)


def test_a_wrong_key_is_no_end(fake: FakeSerf) -> None:
    driver = Driver(fake, key="secret")
    driver.turn()
    fake.accept()
    wait_until(lambda: driver.turn() and not driver.transport.writer, "the handshake")
    header, _ = fake.next(), fake.next()
    fake.say({"Error": "", "Seq": header["Seq"]})
    wait_until(lambda: driver.turn() and fake.has_more(), "the key")
    header, body = fake.next(), fake.next()
    assert body == {"AuthKey": "secret"}
    fake.say({"Error": "Invalid authentication token", "Seq": header["Seq"]})
    assert "Invalid authentication token" in str(driver.until(lambda turn: turn.lost).lost)


def test_the_desk_has_no_leftovers(tmp_path: Path) -> None:
    desk = SerfDesk()
    desk.start()
    store = SerfStore(os.fspath(tmp_path))
    store.keep(JOB, desk.journal[JOB], False)
    assert [run.job_id for run in store.runs(NODE)] == [JOB]

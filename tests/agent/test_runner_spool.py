"""The spool, and the bounded output in it."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from push_jobs_agent.runner.errors import Refused, RunnerError
from push_jobs_agent.runner.output import MARK, Channel, bound, read_channel
from push_jobs_agent.runner.spool import Spool, read_output
from push_jobs_wire.messages import LEFT_OUT


def test_the_mark_is_the_one_of_the_wire() -> None:
    # The runner uses nothing but the standard library.
    assert MARK == f"\n{LEFT_OUT}\n".encode()


def test_everything_in_it_is_private(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    folder = Path(spool.create("j1", {"a": 1}))
    spool.write_process("j1", {"pid": 1})
    channel = Channel(str(folder / "stdout"), 4096)
    channel.feed(b"x")
    channel.close()
    spool.write_result("j1", {"result": "succeeded"})
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {name.name for name in folder.iterdir()} == {
        "request.json",
        "process.json",
        "result.json",
        "stdout",
    }
    assert {stat.S_IMODE(name.stat().st_mode) for name in folder.iterdir()} == {0o600}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    Spool(str(tmp_path)).create("j1", {"command": "x"})
    spool = Spool(str(tmp_path))
    assert spool.jobs() == ["j1"]
    assert spool.read("j1", "request") == {"command": "x"}
    assert spool.read("j1", "process") is None
    (tmp_path / "spool/j1/process.json").write_text('{"pid": 1')
    assert spool.read("j1", "process") is None


def test_an_id_is_never_used_twice(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    spool.create("j1", {})
    with pytest.raises(Refused, match="was here before"):
        spool.create("j1", {})
    spool.write_result("j1", {})
    spool.release("j1")
    with pytest.raises(Refused, match="was here before"):
        spool.create("j1", {})


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "a/b", "a.released", "a_b", "a\n", "ä", "x" * 65, 7]
)
def test_ids_cannot_leave_the_spool(tmp_path: Path, job_id: str) -> None:
    spool = Spool(str(tmp_path))
    with pytest.raises(Refused, match="job id"):
        spool.create(job_id, {})
    with pytest.raises(Refused, match="job id"):
        read_output(str(tmp_path), job_id)


def test_result_and_output_are_on_the_disk_before_the_result_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(str(tmp_path))
    folder = spool.create("j1", {})
    Path(folder, "stdout").write_bytes(b"out")
    Path(folder, "stderr.2").write_bytes(b"err")
    calls = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    def noted_rename(old: str, new: str) -> None:
        calls.append("-> " + os.path.basename(new))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    spool.write_result("j1", {"result": "failed"})
    assert set(calls[:2]) == {"stdout", "stderr.2"}
    assert calls[2:] == ["result.json.new", "-> result.json", "j1", "spool"]


def test_release_removes_what_the_spool_made(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    folder = Path(spool.create("j1", {}))
    with pytest.raises(RunnerError, match="has not ended"):
        spool.release("j1")
    (folder / "stdout.12").write_bytes(b"x")
    spool.write_result("j1", {})
    spool.release("j1")
    assert list((tmp_path / "spool").iterdir()) == []
    spool.release("j1")


def test_release_leaves_what_somebody_else_put_there(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    folder = Path(spool.create("j1", {}))
    spool.write_result("j1", {})
    (folder / "precious").write_text("mine")
    with pytest.raises(RunnerError, match="not the spool's"):
        spool.release("j1")
    assert (tmp_path / "spool/j1.released/precious").read_text() == "mine"


def test_a_release_that_was_cut_short_is_finished_later(tmp_path: Path) -> None:
    folder = Path(Spool(str(tmp_path)).create("j1", {}))
    folder.rename(folder.with_name("j1.released"))
    assert Spool(str(tmp_path)).jobs() == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_output_of_an_unknown_job(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="holds no job j1"):
        read_output(str(tmp_path), "j1")


def test_output_of_a_job_that_wrote_nothing(tmp_path: Path) -> None:
    Spool(str(tmp_path)).create("j1", {})
    assert read_output(str(tmp_path), "j1") == (b"", b"")


def write(path: Path, data: bytes, limit: int, seed: int = 1) -> None:
    channel = Channel(str(path), limit)
    chance = random.Random(seed)
    while data:
        size = chance.randrange(1, 2 * limit)
        channel.feed(data[:size])
        data = data[size:]
    channel.close()


@settings(deadline=None)
@given(size=st.integers(0, 700), limit=st.integers(2, 200), seed=st.integers(0, 5))
def test_a_channel_keeps_head_and_tail(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int, seed: int
) -> None:
    data = bytes(index % 251 for index in range(size))
    path = tmp_path_factory.mktemp("c") / "stdout"
    write(path, data, limit, seed)
    head, tail = limit // 2, limit - limit // 2
    expected = data
    if size > limit:
        expected = data[:head] + MARK % (size - limit) + data[size - tail :]
    assert read_channel(str(path)) == expected
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 2 * limit


def test_a_channel_that_the_disk_does_not_take_says_so(tmp_path: Path) -> None:
    channel = Channel(str(tmp_path / "missing" / "stdout"), 4096)
    channel.feed(b"x")
    assert channel.problem == "output was lost: No such file or directory"


@given(size=st.integers(0, 400), limit=st.integers(0, 500))
def test_bound_is_never_longer_than_the_limit(size: int, limit: int) -> None:
    data = bytes(97 + index % 26 for index in range(size))
    short = bound(data, limit)
    assert len(short) <= limit
    assert (short == data) == (size <= limit)
    head, mark, rest = short.partition(b"\n[... ")
    if mark:
        number, _, tail = rest.partition(b" bytes left out ...]\n")
        assert int(number) == size - len(head) - len(tail)
        assert data.startswith(head) and data.endswith(tail)


def test_bound_counts_what_an_earlier_mark_left_out() -> None:
    once = b"a" * 500 + MARK % 1_000_000 + b"b" * 500
    twice = bound(once, 400)
    head, _, rest = twice.partition(b"\n[... ")
    number, _, tail = rest.partition(b" bytes left out ...]\n")
    assert int(number) + len(head) + len(tail) == 1_001_000
    assert twice.count(b"left out") == 1

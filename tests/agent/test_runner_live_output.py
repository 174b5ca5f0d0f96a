"""Reading output that still grows, and when the session hears that it did."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Iterator, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_client import RunnerProcess

from push_jobs_agent.runner.news import PAUSE, News
from push_jobs_agent.runner.output import Channel, read_channel, read_part
from push_jobs_agent.runner.spool import read_output_part

DATA = bytes(range(256)) * 8


def read_all(path: str, offset: int, most: int) -> "List[tuple[int, bytes]]":
    """Piece after piece, to the end."""
    found: "List[tuple[int, bytes]]" = []
    while True:
        offset, data = read_part(path, offset, most)
        if not data:
            return found
        found.append((offset, data))
        offset += len(data)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 200), max_size=12),
    st.integers(2, 300),
    st.integers(1, 64),
    st.integers(0, 400),
)
def test_what_is_there_is_read_from_any_offset(
    sizes: List[int], limit: int, most: int, start: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "stdout")
        channel, written = Channel(path, limit), 0
        for size in sizes:
            channel.feed(DATA[written : written + size])
            written += size
        channel.close()
        assert channel.size == written
        pieces = read_all(path, start, most)
        for offset, data in pieces:
            assert DATA[offset : offset + len(data)] == data
        if written <= limit:
            assert b"".join(data for _, data in pieces) == DATA[start:written]
        elif pieces:
            assert pieces[-1][0] + len(pieces[-1][1]) == written
            kept = {at for offset, data in pieces for at in range(offset, offset + len(data))}
            tail = range(max(start, written - (limit - limit // 2)), written)
            assert kept.issuperset(tail)
            assert read_channel(path).endswith(DATA[written - 1 : written])


def test_nothing_is_read_of_what_is_not_there(tmp_path: Path) -> None:
    assert read_part(str(tmp_path / "stdout"), 5, 10) == (5, b"")


def test_news_come_at_once_after_silence_and_then_now_and_then() -> None:
    told: List[str] = []
    news = News(told.append)
    news.grown("j1", 10.0)
    assert told == ["j1"]
    news.grown("j1", 10.001)
    news.grown("j1", 10.002)
    assert told == ["j1"] and news.next_call() == pytest.approx(10.0 + PAUSE)
    news.tick(10.0 + PAUSE)
    assert told == ["j1", "j1"] and news.next_call() is None
    news.grown("j1", 11.0)
    assert told == ["j1"] * 3
    news.grown("j1", 11.001)
    news.forget("j1")
    assert news.next_call() is None


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that the command of the runner waits for."""
    return tmp_path / "gate"


@pytest.fixture
def runner(tmp_path: Path, gate: Path) -> Iterator[RunnerProcess]:
    """A runner whose command prints a line, and another one later."""
    text = f"echo one; until [ -e {gate} ]; do sleep 0.02; done; echo two"
    process = RunnerProcess(tmp_path, {"talk": ["sh", "-c", text]})
    process.start().wait_until_it_answers().close()
    yield process
    process.stop()


def test_the_session_hears_of_output_while_the_job_runs(runner: RunnerProcess, gate: Path) -> None:
    client = runner.connect()
    job_id = client.start("talk")
    assert client.told("output", job_id)["stdout_size"] == 4
    assert read_output_part(str(runner.state_dir), job_id, "stdout", 0, 99) == (0, b"one\n")
    gate.touch()
    assert client.ended(job_id)["stdout_size"] == 8
    assert read_output_part(str(runner.state_dir), job_id, "stdout", 4, 99) == (4, b"two\n")

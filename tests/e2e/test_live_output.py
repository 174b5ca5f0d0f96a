"""Output while it is printed: over real agents, the server, its feed and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

import pytest
from feed_reader import FeedReader
from house import House, open_house
from waiting import wait_until

from push_jobs.live_output import OutputPiece
from push_jobs_server.store.output_statements import MARK

pytestmark = pytest.mark.e2e

MIB = 1 << 20


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with one agent; its jobs wait for files of the test."""
    with open_house(tmp_path_factory.mktemp("house"), heartbeat_interval=2.0) as house:
        # A port that was taken as a free one can't be bound again soon; a chosen one can.
        assert house.stop_server() == 0
        house.start_server()
        gate = house.folder / "gate"
        until = f"until [ -e {gate} ]; do sleep 0.02; done"
        house.add_agent(
            "web1",
            {
                "talk": ["sh", "-c", f"echo first; echo careful >&2; {until}; printf last"],
                "flood": ["sh", "-c", f"seq 1 600000; {until}"],
                "quiet": ["sh", "-c", until],
            },
        )
        house.wait_available("web1")
        yield house


@pytest.fixture
def gate(house: House) -> Iterator[Path]:
    """The file that lets waiting jobs end."""
    path = house.folder / "gate"
    yield path
    path.unlink(missing_ok=True)


def so_far(house: House, job_id: str) -> Optional[bytes]:
    with house.client() as client:
        return client.output(job_id, "web1", partial=True)


def test_lines_are_printed_before_the_job_ends(house: House, gate: Path) -> None:
    process = house.popen("job", "start", "talk", "web1", "--follow")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"web1: first\n"
    assert process.poll() is None
    gate.touch()
    rest = process.stdout.read().decode()
    errors = process.stderr.read().decode()
    assert process.wait(30) == 0
    process.stdout.close()
    process.stderr.close()
    assert rest.startswith("web1: last\nNODE")
    assert "web1: careful\n" in errors and "complete: 1 of 1 node succeeded" in errors


def test_what_was_printed_so_far_can_be_read(house: House, gate: Path) -> None:
    job_id = house.start_job("talk", "web1", "--capture")
    wait_until(lambda: so_far(house, job_id) == b"first\n", "the first line")
    with house.client() as client:
        assert client.output(job_id, "web1") is None
    gate.touch()
    house.wait_job(job_id)
    with house.client() as client:
        assert client.output(job_id, "web1") == b"first\nlast"
        assert client.output(job_id, "web1", "stderr") == b"careful\n"


def test_too_much_keeps_head_and_tail_with_a_mark_live_and_stored(house: House, gate: Path) -> None:
    whole = b"".join(b"%d\n" % number for number in range(1, 600_001))
    mark = MARK % (len(whole) - MIB)
    kept = whole[: MIB // 2] + mark + whole[-MIB // 2 :]
    job_id = house.start_job("flood", "web1", "--capture")
    wait_until(lambda: (so_far(house, job_id) or b"").endswith(b"\n600000\n"), "the last line")
    assert so_far(house, job_id) == kept
    with house.client() as client:
        assert client.output(job_id, "web1") is None
        pieces = client.follow_output(job_id)
        late = [next(pieces)]
        while late[-1].offset + len(late[-1].data) < len(whole):
            late.append(next(pieces))
        assert with_mark(late) == kept
        follower = house.popen("job", "output", job_id, "web1", "--follow")
        assert follower.stdout is not None
        printed = [follower.stdout.readline() for _ in lines_of(kept)]
        gate.touch()
        assert list(pieces) == []
        assert house.wait_job(job_id)["status"] == "complete"
        assert client.output(job_id, "web1") == kept
        assert with_mark(client.follow_output(job_id)) == kept
    assert printed == lines_of(kept)
    assert follower.communicate(timeout=60)[0] == b"" and follower.returncode == 0


def with_mark(pieces: Iterable[OutputPiece]) -> bytes:
    """The text of these pieces, with a mark where bytes are missing between them."""
    text, position = b"", 0
    for piece in pieces:
        if piece.offset > position:
            text += MARK % (piece.offset - position)
        text += piece.data
        position = piece.offset + len(piece.data)
    return text


def lines_of(text: bytes) -> List[bytes]:
    """As they are printed for the one node of the job."""
    return [b"web1: " + line for line in text.splitlines(keepends=True)]


def test_output_goes_on_after_the_server_was_killed(house: House, gate: Path) -> None:
    job_id = house.start_job("talk", "web1", "--capture")
    wait_until(lambda: so_far(house, job_id) == b"first\n", "the first line")
    process = house.popen("job", "output", job_id, "web1", "--follow", "--format", "jsonl")
    assert process.stdout is not None and process.stderr is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    house.kill_server()
    house.start_server()
    gate.touch()
    lines += [json.loads(line) for line in process.stdout.read().splitlines()]
    process.stderr.read()
    assert process.wait(60) == 0
    process.stdout.close()
    process.stderr.close()
    found = [(line["stream"], line["offset"], line["content"]) for line in lines]
    assert sorted(found) == [
        ("stderr", 0, "careful\n"), ("stdout", 0, "first\n"), ("stdout", 6, "last"),
    ]  # fmt: skip


def test_the_feed_refuses_strangers(house: House, gate: Path) -> None:
    job_id = house.start_job("quiet", "web1", "--capture")
    feed = f"/pushy/v1/jobs/{job_id}/output_feed"
    with FeedReader(house, f"{feed}?node=web9") as reader:
        assert reader.status == 400
    with FeedReader(house, f"/pushy/v1/jobs/{'0' * 32}/output_feed") as reader:
        assert reader.status == 404
    gate.touch()
    house.wait_job(job_id)
    with house.client() as client:
        assert list(client.follow_output(job_id)) == []


def test_a_caller_may_wait_for_the_end_of_a_job(house: House, gate: Path) -> None:
    job_id = house.start_job("quiet", "web1")
    with house.client() as client:
        assert not client.job(job_id, wait=0.05).ended
        gate.touch()
        assert client.job(job_id, wait=30).succeeded

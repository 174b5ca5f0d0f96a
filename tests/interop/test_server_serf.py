"""Our server over real Serf agents, with scripted schobs: jobs, their output, their ends.

Not run against the real program: schob, which nobody packages; its behaviour is that of
tests/support/schob.py.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Iterator, List

import pytest
from house import TRACEBACK
from schob_http import Put
from schob_run import Habits
from serf_place import WHITELIST, SerfPlace, open_serf_place
from waiting import wait_until

pytestmark = pytest.mark.e2e
NODES = ("n1", "n2", "n3")
NEVER = "0001-01-01T00:00:00Z"
LONG = "".join(f"{number}\n" for number in range(1, 1501))
SCRIPT = "#!/bin/sh\nseq 1 400\nuntil [ -e {gate} ]; do sleep 0.02; done\necho the end\n"
"""What it prints first fills one chunk, and a part of the second one."""


def gate_of(folder: Path) -> Path:
    return folder / "gate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serf")
    script = folder / "wait"
    script.write_text(SCRIPT.format(gate=gate_of(folder)))
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def whole_place(folder: Path) -> Iterator[SerfPlace]:
    """A server, three nodes that are up, and one that is registered only."""
    with open_serf_place(folder) as place:
        for name in NODES:
            place.add(name, whitelist={**WHITELIST, "wait": str(folder / "wait")})
        place.register("gone")
        yield place


@pytest.fixture
def place(whole_place: SerfPlace, folder: Path) -> Iterator[SerfPlace]:
    """The same, each time with nodes that have no bad habits."""
    gate_of(folder).unlink(missing_ok=True)
    yield whole_place
    gate_of(folder).touch()
    for schob in whole_place.schobs.values():
        schob.node.habits.may_end.set()
        schob.node.habits = Habits()
    assert TRACEBACK not in whole_place.house.logs()


def habits(place: SerfPlace, node: str) -> Habits:
    return place.schobs[node].node.habits


# Ends of jobs


def test_a_job_and_its_output(place: SerfPlace) -> None:
    job = place.start("both", "n1", "n2")
    ended = place.wait_job(job)
    assert (ended["status"], ended["nodes"]) == ("complete", {"succeeded": ["n1", "n2"]})
    for node in ("n1", "n2"):
        assert place.wait_last(job, node) == "out\n"
        assert place.wait_last(job, node, "stderr") == "careful\n"
        run = place.run(job, node)
        assert (run["output"], run["stderr"], run["exit_status"]) == ("out\n", "careful\n", 0)
        assert run["error"] == "" and NEVER not in (run["ack_time"], run["end_time"])
        assert sorted(place.stream(job, node, "?output_type=both")["output"]) == sorted(
            "out\ncareful\n"
        )


def test_every_way_to_fail(place: SerfPlace) -> None:
    words = {"fail": "failed", "broken": "invalid", "reboot": "nacked"}
    for command, word in words.items():
        job = place.start(command, "n1")
        ended = place.wait_job(job)
        assert (ended["status"], ended["nodes"]) == ("complete", {word: ["n1"]})
        # No output follows what did not run: a reader need not wait.
        assert place.wait_last(job, "n1") == ""
    failed = place.wait_run(place.start("fail", "n2"), "n2", "failed")
    assert (failed["exit_status"], failed["error"]) == (1, "exit status 1")
    assert "executable file not found" in reason(place, "broken")
    assert "whitelist" in reason(place, "reboot")


def reason(place: SerfPlace, command: str) -> str:
    job = place.start(command, "n1")
    place.wait_job(job)
    return str(place.run(job, "n1")["error"])


def test_a_node_ends_a_job_that_takes_too_long(place: SerfPlace) -> None:
    job = place.start("sleep", "n1", run_timeout=1)
    assert place.wait_job(job)["nodes"] == {"failed": ["n1"]}
    run = place.run(job, "n1")
    assert (run["error"], run["exit_status"]) == (f"Job {job} on node n1 timed out", 0)


def test_a_cancel_of_all(place: SerfPlace) -> None:
    job = place.start("sleep", "n1", "n2")
    for node in ("n1", "n2"):
        place.wait_run(job, node, "running")
    before = time.monotonic()
    shown = place.cancel(job)
    assert time.monotonic() - before < 1.0
    assert (shown["status"], shown["nodes"]) == ("cancelled", {"cancelled": ["n1", "n2"]})
    for node in ("n1", "n2"):
        # Its last chunk comes once SIGINT has ended the program.
        wait_until(lambda: last_chunks(place, job, node) == 2, f"{node} to stop")
        words = [put.body["status"] for put in reports(place, job, node)]
        assert (words, place.wait_last(job, node)) == (["running"], "")
    assert place.job(job)["status"] == place.cancel(job)["status"] == "cancelled"


def reports(place: SerfPlace, job: str, node: str) -> List[Put]:
    path = f"/shovey/jobs/{job}/{node}"
    return [put for put in place.schobs[node].reporter.sent if put.path == path]


def last_chunks(place: SerfPlace, job: str, node: str) -> int:
    path = f"/shovey/stream/{job}/{node}"
    sent = place.schobs[node].reporter.sent
    return sum(put.path == path and put.status == 200 and put.body["is_last"] for put in sent)


def test_a_cancel_of_some(place: SerfPlace, folder: Path) -> None:
    job = place.start("wait", "n1", "n2", "n3")
    for node in NODES:
        place.wait_run(job, node, "running")
    shown = place.cancel(job, "n1", "n3")
    assert shown["status"] == "running"
    assert shown["nodes"] == {"cancelled": ["n1", "n3"], "running": ["n2"]}
    gate_of(folder).touch()
    ended = place.wait_job(job)
    assert ended["status"] == "complete"
    assert ended["nodes"] == {"cancelled": ["n1", "n3"], "succeeded": ["n2"]}


def test_a_quorum(place: SerfPlace) -> None:
    missed = place.post("ls", "n1", "gone", quorum="100%")
    found = re.fullmatch(
        r"Not enough nodes were up to execute job (\S{36}) - got 1, needed at least 2",
        missed.json["error"][0],
    )
    assert missed.status == 400 and found, missed
    shown = place.job(found[1])
    assert (shown["status"], shown["nodes"]) == ("quorum_failed", {})
    for quorum in ("50%", "1", 1):
        job = place.start("ls", "n1", "gone", quorum=quorum)
        assert place.wait_job(job)["nodes"] == {"succeeded": ["n1"], "down": ["gone"]}


def test_nobody_is_asked_when_nobody_is_up(place: SerfPlace) -> None:
    job = place.start("ls", "gone", quorum=0)
    assert place.wait_job(job)["nodes"] == {"down": ["gone"]}
    # An empty filter would have reached all, and this way before the next command.
    place.wait_job(place.start("ls", *NODES))
    assert not any(schob.has_heard(job) for schob in place.schobs.values())


# Output


def test_output_is_seen_while_the_job_runs(place: SerfPlace, folder: Path) -> None:
    job = place.start("wait", "n1")
    first = place.stream(job, "n1", "?wait=20")
    assert (first["last_seq"], first["is_last"]) == (0, False)
    assert len(first["output"]) == 1024 and first["output"].startswith("1\n2\n3\n")
    assert place.job(job)["status"] == "running"
    waited = place.stream(job, "n1", "?sequence=1&wait=0.2")
    assert (waited["output"], waited["is_last"]) == ("", False)
    gate_of(folder).touch()
    rest = place.stream(job, "n1", "?sequence=1&wait=20")
    assert rest["is_last"] and rest["output"].endswith("\n400\nthe end\n")


def test_output_that_comes_after_the_final_report(place: SerfPlace) -> None:
    habits(place, "n1").may_end.clear()
    job = place.start("ls", "n1")
    assert place.wait_job(job)["nodes"] == {"succeeded": ["n1"]}
    early = place.stream(job, "n1")
    assert (early["output"], early["is_last"], "last_seq" in early) == ("", False, False)
    habits(place, "n1").may_end.set()
    late = place.stream(job, "n1", "?wait=20")
    assert (late["output"], late["is_last"]) == ("hello world\n", True)
    assert place.run(job, "n1")["output"] == "hello world\n"


def test_chunks_out_of_order(place: SerfPlace) -> None:
    habits(place, "n1").swapped = True
    job = place.start("long", "n1")
    place.wait_job(job)
    assert place.wait_last(job, "n1") == place.run(job, "n1")["output"] == LONG
    numbers = [put.body["seq"] for put in place.schobs["n1"].reporter.sent if is_of(put, job)]
    assert numbers == [1, 0, 3, 2, 5, 4, 6]


def is_of(put: Put, job: str) -> bool:
    return put.path.startswith(f"/shovey/stream/{job}/") and put.body["output_type"] == "stdout"


def test_a_chunk_that_never_comes(place: SerfPlace) -> None:
    habits(place, "n1").gap = {2}
    job = place.start("long", "n1")
    place.wait_job(job)
    rest = LONG[:2048] + LONG[3072:]
    assert place.wait_last(job, "n1") == rest
    assert place.run(job, "n1")["output"] == rest


def test_a_lost_report_of_the_start(place: SerfPlace) -> None:
    habits(place, "n1").lost = {"running"}
    job = place.start("ls", "n1")
    assert place.wait_job(job)["nodes"] == {"succeeded": ["n1"]}
    assert place.wait_last(job, "n1") == "hello world\n"


def test_many_jobs_of_one_node_at_once(place: SerfPlace) -> None:
    jobs = [place.start("ls", "n1", "n2") for _ in range(10)]
    for job in jobs:
        assert place.wait_job(job)["nodes"] == {"succeeded": ["n1", "n2"]}
        assert {place.wait_last(job, node) for node in ("n1", "n2")} == {"hello world\n"}


def test_every_report_was_answered_as_schob_needs_it(place: SerfPlace) -> None:
    """Another 2xx than 200 would make schob repeat a chunk; what is refused is lost."""
    place.wait_job(place.start("both", *NODES))
    for schob in place.schobs.values():
        assert {put.status for put in schob.reporter.sent} <= {200}
        assert schob.died is None and set(schob.answers) == {b'{"response":"ok"}'}

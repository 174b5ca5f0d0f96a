"""Unmodified knife-shove 0.6.0 on today's knife drives our server, whose nodes are scripted schobs.

What it says to goiardi is in test_knife_shove_goiardi.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from house import ADMIN, Done
from knife_shove import KnifeShove
from peer import Missing, skip
from serf_place import JOBS, WHITELIST, SerfPlace, open_serf_place

from push_jobs_wire import chef_auth

pytestmark = pytest.mark.e2e
LONG = "".join(f"{number}\n" for number in range(1, 1501))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knife-shove")
    script = folder / "wait"
    gate = folder / "gate"
    script.write_text(f"#!/bin/sh\nuntil [ -e {gate} ]; do sleep 0.02; done\necho waited\n")
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[SerfPlace]:
    """A server, two nodes that are up, and one that is registered only."""
    with open_serf_place(folder) as place:
        for name in ("n1", "n2"):
            place.add(name, whitelist={**WHITELIST, "wait": str(folder / "wait")})
        place.register("gone")
        yield place


@pytest.fixture(scope="module")
def knife(place: SerfPlace) -> Iterator[KnifeShove]:
    """The administrator's."""
    house = place.house
    key = chef_auth.load_private_key(house.key_file.read_bytes())
    try:
        yield KnifeShove(
            house.folder / "workstation", house.address, ADMIN, key, house.data / "ca.crt"
        )
    except Missing as reason:
        skip(reason)


def plain(text: str) -> str:
    """What was printed, without what differs: the id, times, states on the way, dots."""
    assert len(set(re.findall("[-0-9a-f]{36}", text))) == 1, text
    text = re.sub("[-0-9a-f]{36}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", text)
    text = re.sub(r"(?m)^\.*(Voting\.|Running \(\d+/\d+ in progress\) \.\.\.)\n", "", text)
    return re.sub(r"(?m)^\.+(?=[A-Z])", "", text)


def ended(command: str, state: str, nodes: str, run_timeout: int = 300) -> str:
    """The text of a job that somebody waited for."""
    return (
        f"Started.  Job ID: ID\n{state.capitalize()}.\ncommand:     {command}\n"
        f"created_at:  TIME\nid:          ID\nnodes:\n{nodes}run_timeout: {run_timeout}\n"
        f"status:      {state}\nupdated_at:  TIME\n"
    )


def started(done: Done) -> str:
    """The id of a job that nobody waits for."""
    found = re.fullmatch(r"Started\.  Job ID: ([-0-9a-f]{36})\n", done.out)
    assert found and done.code == 0, done
    return found[1]


def shown_json(done: Done) -> Dict[str, Any]:
    assert done.code == 0, done
    shown: Dict[str, Any] = json.loads(done.out)
    return shown


# job start


def test_a_job_that_is_waited_for(knife: KnifeShove) -> None:
    done = knife("job", "start", "ls", "n1", "n2")
    nodes = "  succeeded:\n    n1\n    n2\n"
    assert (plain(done.out), done.code) == (ended("ls", "complete", nodes), 0)


def test_a_job_that_fails(knife: KnifeShove) -> None:
    done = knife("job", "start", "fail", "n1")
    assert (plain(done.out), done.code) == (ended("fail", "complete", "  failed: n1\n"), 1)


def test_a_job_that_takes_too_long(knife: KnifeShove) -> None:
    done = knife("job", "start", "sleep", "n1", "--timeout", "2")
    assert "Running (1/1 in progress) ...\n" in done.out
    assert plain(done.out) == ended("sleep", "complete", "  failed: n1\n", 2)
    assert done.code == 1


def test_the_quorum_option_counts(knife: KnifeShove) -> None:
    """It sends a whole number, which goiardi takes for all nodes."""
    for quorum in ("1", "50%"):
        done = knife("job", "start", "ls", "n1", "gone", "-q", quorum)
        nodes = "  down:      gone\n  succeeded: n1\n"
        # A node that is down makes it exit 1.
        assert (plain(done.out), done.code) == (ended("ls", "complete", nodes), 1)


def test_a_quorum_that_is_missed(knife: KnifeShove) -> None:
    done = knife("job", "start", "ls", "n1", "gone")
    assert (done.code, done.out) == (100, "")
    assert re.fullmatch(
        "ERROR: The data in your request was invalid\n"
        "Response: Not enough nodes were up to execute job [-0-9a-f]{36}"
        " - got 1, needed at least 2\n",
        done.err,
    )


def test_what_is_not_there(knife: KnifeShove) -> None:
    nothing = "ERROR: The object you are looking for could not be found\nResponse: "
    for words in (("status", "nope"), ("info", "nope", "n1"), ("cancel", "nope")):
        done = knife("job", *words)
        assert done == Done(100, "", f"{nothing}shovey job nope not found\n"), words


def test_wrong_words(knife: KnifeShove) -> None:
    for words, said in (
        (("job", "start"), "No job specified."),
        (("job", "start", "ls"), "No nodes to run job on."),
        (("job", "info"), "No job id specified"),
    ):
        done = knife(*words)
        assert done.code == 1 and said in done.out + done.err, done


# What is shown, and a cancel


def test_a_job_that_nobody_waits_for(place: SerfPlace, knife: KnifeShove, folder: Path) -> None:
    job = started(knife("job", "start", "wait", "n1", "-b"))
    running = shown_json(knife("job", "status", job, "-F", "json"))
    assert (running["status"], running["nodes"]) in (
        ("running", {"running": ["n1"]}),
        ("running", {"created": ["n1"]}),
    )
    (folder / "gate").touch()
    place.wait_job(job)
    place.wait_last(job, "n1")
    run = shown_json(knife("job", "info", job, "n1", "-F", "json"))
    assert (run["status"], run["exit_status"], run["output"]) == ("succeeded", 0, "waited\n")
    assert run == place.run(job, "n1")
    listed = knife("job", "list", "-F", "json")
    assert listed.code == 0
    assert json.loads(listed.out) == place.must("GET", JOBS) and job in listed.out


def test_a_cancel_of_a_sleeping_job(place: SerfPlace, knife: KnifeShove) -> None:
    job = started(knife("job", "start", "sleep", "n1", "n2", "--dont-wait"))
    place.wait_run(job, "n1", "running")
    place.wait_run(job, "n2", "running")
    some = shown_json(knife("job", "cancel", job, "n2", "-F", "json"))
    assert (some["status"], some["cancelled nodes"]) == ("running", ["n2"])
    rest = shown_json(knife("job", "cancel", job, "--kill-timeout", "5", "-F", "json"))
    assert rest == {
        "command": "sleep",
        "id": job,
        "status": "cancelled",
        "cancelled nodes": ["n1", "n2"],
    }
    assert place.wait_last(job, "n1") == place.wait_last(job, "n2") == ""


def test_the_stream_of_a_job_that_has_ended(place: SerfPlace, knife: KnifeShove) -> None:
    job = place.start("both", "n1")
    place.wait_job(job)
    for kind in ("stdout", "stderr"):
        place.wait_last(job, "n1", kind)
    done = knife("job", "stream", job, "n1")
    assert done == Done(0, f"out\n{stream_end(job, 'n1')}", "careful\n")


def stream_end(job: str, node: str) -> str:
    """What a stream says once nothing more comes."""
    return f"\nDone!\n\nFinished streaming output for job {job} on node {node}\n"


def test_the_stream_of_jobs_without_a_last_piece_ends(place: SerfPlace, knife: KnifeShove) -> None:
    job = place.start("reboot", "n1")
    assert place.wait_job(job)["nodes"] == {"nacked": ["n1"]}
    done = knife("job", "stream", job, "n1")
    assert done == Done(0, stream_end(job, "n1"), "")


def test_the_stream_while_output_comes(place: SerfPlace, knife: KnifeShove) -> None:
    job = place.start("long", "n2")
    done = knife("job", "stream", job, "n2")
    assert done.code == 0 and done.err == ""
    # It asks from the beginning each time; what it prints last is whole.
    assert done.out.endswith(LONG + stream_end(job, "n2")) and done.out.count("Done!") == 1


def test_the_status_of_nodes(place: SerfPlace, knife: KnifeShove) -> None:
    everything = knife("node", "status")
    assert everything.code == 0
    assert {"n1\tup", "n2\tup", "gone\tno record"} <= set(everything.out.splitlines())
    named = knife("node", "status", "n2", "n1")
    assert (named.code, named.out) == (0, "n2\tup\nn1\tup\n")

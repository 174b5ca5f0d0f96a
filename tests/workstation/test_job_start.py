"""``push-jobs job start``: what is sent, what is shown meanwhile, how it ends."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Dict, List

import pytest
from command_run import Run
from pushy_stub import Answer, PushyStub, Record, ran


def sent(stub: PushyStub) -> Record:
    """Return the body of the last start."""
    body: Record = json.loads([seen.body for seen in stub.seen if seen.method == "POST"][-1])
    return body


def test_from_start_to_result(stub: PushyStub, run: Run) -> None:
    stub.will_be("ab" * 16)
    stub.plays["chef-client"] = [
        ("voting", {"web1": {"status": "ready"}}),
        ("running", {"web1": {"status": "running"}, "web2": {"status": "running"}}),
        ("running", {"web1": ran(0)}),
        ("complete", {"web2": ran(3, 12, reason="disk full")}),
    ]
    code, out, err = run("job", "start", "chef-client", "web1", "web2")
    assert code == 3
    assert out.splitlines() == [
        "NODE  STATUS     EXIT  TIME   REASON",
        "web1  succeeded  0     2.0 s  -",
        "web2  failed     3     12 s   disk full",
    ]
    assert err.splitlines() == [
        f"started job {'ab' * 16}",
        "voting: 1 of 2 have answered, 2 must be ready",
        "running: 0 of 2 done",
        "complete: 1 of 2 nodes succeeded; 1 failed",
    ]


def test_run_is_the_same_command(stub: PushyStub, run: Run) -> None:
    code, out, _ = run("run", "true", "web1")
    assert code == 0 and "web1  succeeded" in out


def test_all_options_are_sent(stub: PushyStub, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00data")
    options = "--timeout 5m --capture --detach --user deploy --dir /srv --env A=1 --env B=x=y"
    code, out, err = run(
        *["job", "start", "rotate logs", "web1", "web2", "web3", "--quorum", "50%"],
        *options.split(),
        *["--file", str(tmp_path / "file")],
    )
    assert (code, out, err) == (0, stub.jobs[0]["id"] + "\n", "")
    assert sent(stub) == {
        "command": "rotate logs",
        "nodes": ["web1", "web2", "web3"],
        "quorum": 2,
        "run_timeout": 300,
        "capture_output": True,
        "user": "deploy",
        "dir": "/srv",
        "env": {"A": "1", "B": "x=y"},
        "file": "base64:" + base64.b64encode(b"\x00data").decode(),
    }


def test_nothing_is_sent_that_was_not_said(stub: PushyStub, run: Run) -> None:
    run("job", "start", "true", "web1", "web1", "--detach")
    assert sent(stub) == {"command": "true", "nodes": ["web1"]}


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--quorum", "3"], "a quorum of 3 can never be reached: only 1 node was chosen"),
        (["--quorum", "101%"], "can never be reached"),
        (["--quorum", "some"], "neither a number of nodes"),
        (["--timeout", "soon"], "'--timeout': 'soon' is not a duration"),
        (["--env", "A"], "'A' is not NAME=VALUE"),
        (["--env", "=1"], "'=1' is not NAME=VALUE"),
        (["--env", "A=1", "--env", "A=2"], "'A' is given twice"),
        (["--file", "/nonexistent"], "No such file"),
        (["--file", "/"], "directory"),
    ],
)
def test_wrong_options_are_exit_2_and_nothing_is_sent(
    stub: PushyStub, run: Run, options: List[str], complaint: str
) -> None:
    code, out, err = run("job", "start", "true", "web1", *options)
    assert code == 2 and out == "" and complaint in err
    assert stub.seen == []


@pytest.mark.parametrize("words", [["", "web1"], ["true", "web1", ""]])
def test_empty_names_are_exit_2_and_nothing_is_sent(
    stub: PushyStub, run: Run, words: List[str]
) -> None:
    code, _, err = run("job", "start", *words)
    assert code == 2 and "an empty name of a command or node means nothing" in err
    assert stub.seen == []


def test_a_file_that_is_too_large(stub: PushyStub, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_001)
    code, _, err = run("job", "start", "true", "web1", "--file", str(tmp_path / "file"))
    assert code == 2 and "larger than the 100000 bytes" in err and stub.seen == []


def test_a_start_needs_nodes(run: Run) -> None:
    code, _, err = run("job", "start", "true")
    assert code == 2 and "NODE" in err


@pytest.mark.parametrize(
    "status, nodes, code, line",
    [
        ("complete", {"web1": ran(0)}, 0, "complete: 1 of 1 node succeeded"),
        ("quorum_failed", {"web1": {"status": "nacked"}}, 7, "0 of 1 node succeeded; 1 nacked"),
        ("quorum_failed", {"web1": {"status": "unavailable"}}, 4, "1 unavailable"),
        ("timed_out", {"web1": {"status": "timed_out"}}, 5, "timed_out: "),
        ("aborted", {"web1": {"status": "aborted"}}, 6, "aborted: "),
        ("crashed", {"web1": {"status": "crashed"}}, 1, "crashed: "),
    ],
)
def test_the_end_of_a_job_is_the_exit_code(
    stub: PushyStub, run: Run, status: str, nodes: Dict[str, Record], code: int, line: str
) -> None:
    stub.plays["true"] = [(status, nodes)]
    got, _, err = run("job", "start", "true", "web1")
    assert got == code
    assert line in err.splitlines()[-1]


def test_captured_output_comes_before_the_results(stub: PushyStub, run: Run) -> None:
    stub.plays["true"] = [("complete", {"web1": ran(0), "web2": {"status": "nacked"}})]
    stub.outputs = {("web1", "stdout"): b"hello \x1b[2J\n", ("web1", "stderr"): b""}
    code, out, _ = run("job", "start", "true", "web1", "web2", "--capture")
    assert code == 3
    assert out == (
        "==> web1 stdout <==\nhello \\x1b[2J\n\n"
        "NODE  STATUS     EXIT  TIME   REASON\n"
        "web1  succeeded  0     2.0 s  -\n"
        "web2  nacked     -     -      -\n"
    )
    asked = [seen.path for seen in stub.seen if "output" in seen.path]
    assert not any("web2" in path for path in asked), "a node that did not run has no output"


def test_json_is_one_document_with_the_output(stub: PushyStub, run: Run) -> None:
    stub.outputs = {("web1", "stdout"): b"hello\n", ("web1", "stderr"): b""}
    code, out, _ = run("job", "start", "true", "web1", "--capture", "--format", "json")
    document = json.loads(out)
    assert code == 0 and document["kind"] == "job" and document["status"] == "complete"
    assert [piece["content"] for piece in document["output"]] == ["hello\n", ""]


def test_json_lines_come_as_nodes_end(stub: PushyStub, run: Run) -> None:
    stub.plays["true"] = [
        ("running", {"web2": ran(1)}),
        ("running", {}),
        ("complete", {"web1": ran(0)}),
    ]
    stub.outputs = {("web1", "stdout"): b"hello\n"}
    code, out, _ = run("job", "start", "true", "web1", "web2", "--capture", "--format", "jsonl")
    documents = [json.loads(line) for line in out.splitlines()]
    kinds = [document["kind"] for document in documents]
    assert kinds == ["job_started", "result", "result"] + ["output"] * 4 + ["job"]
    assert [document["name"] for document in documents[1:3]] == ["web2", "web1"]
    assert all(document["version"] == 1 for document in documents)


@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_a_detached_start_in_json(stub: PushyStub, run: Run, format_: str) -> None:
    _, out, _ = run("job", "start", "true", "web1", "--detach", "--format", format_)
    assert json.loads(out) == {"kind": "job_started", "version": 1, "id": stub.jobs[0]["id"]}


def test_a_writer_who_may_not_read_learns_that_the_job_goes_on(stub: PushyStub, run: Run) -> None:
    stub.will_be("ab" * 16)
    created = json.dumps({"uri": f"{stub.url}/pushy/jobs/{'ab' * 16}"}).encode()
    stub.next_answers = [Answer(201, created), Answer(403, b'{"error":["no access"]}')]
    code, out, err = run("job", "start", "true", "web1")
    assert code == 7 and out == ""
    assert "Error: the server answered 403: no access" in err
    assert f"job {'ab' * 16} goes on; look at it with: push-jobs job show {'ab' * 16}" in err


def test_the_hint_leads_to_the_same_server(stub: PushyStub, run: Run) -> None:
    created = json.dumps({"uri": f"{stub.url}/pushy/jobs/{'ab' * 16}"}).encode()
    stub.next_answers = [Answer(201, created), Answer(403)]
    _, _, err = run("--server", stub.url, "--ca", str(stub.ca), "job", "start", "true", "web1")
    assert f"push-jobs --server {stub.url} --ca {stub.ca} job show {'ab' * 16}" in err


def test_a_server_that_is_away_for_a_moment_is_mentioned_once(stub: PushyStub, run: Run) -> None:
    created = json.dumps({"uri": f"{stub.url}/pushy/jobs/{stub.add_job()}"}).encode()
    stub.next_answers = [Answer(201, created), Answer(503), Answer(503)]
    code, _, err = run("job", "start", "true", "web1")
    assert code == 0
    assert err.count("the server answered 503") == 1
    assert "trying again\nthe server is back\n" in err


def test_a_lost_answer_is_told_and_the_job_is_started_once(stub: PushyStub, run: Run) -> None:
    stub.next_answers = [
        *[Answer(502, b'{"error":["gone"]}', after_work=True)] * 2,
        Answer(503, b'{"error":["full"]}'),
    ]
    code, out, err = run("job", "start", "true", "web1", "--detach")
    assert (code, out) == (0, stub.jobs[0]["id"] + "\n")
    assert len(stub.jobs) == 1
    assert err.splitlines() == [
        "the server answered 502: gone; trying again, the job is started once only",
        "the server answered 503: full; trying again, the job is started once only",
    ]

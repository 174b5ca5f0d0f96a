"""The commands that look: formats, hostile text, and what is said when something is wrong."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path
from typing import Dict, List

import pytest
from command_run import Result, Run
from pushy_stub import Answer, PushyStub, free_port, ran

from push_jobs import cli

HOSTILE = "w\x1b[2J\x07\x9b\u202eb\n\udcffö"


def harmless(text: str) -> bool:
    """True when a terminal would obey nothing in ``text``."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n" for c in text)


def lines(text: str) -> List[Dict[str, object]]:
    """Read JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_the_list_of_jobs(stub: PushyStub, run: Run) -> None:
    stub.will_be("0" * 32, "1" * 32)
    stub.add_job("true"), stub.add_job("rotate logs")
    assert run("job", "list") == Result(
        0,
        "JOB                               STATUS  CREATED               STARTED BY  COMMAND\n"
        f"{'1' * 32}  voting  2024-05-14 09:26:53Z  alice       rotate logs\n"
        f"{'0' * 32}  voting  2024-05-14 09:26:53Z  alice       true\n",
        "",
    )


def test_one_job(stub: PushyStub, run: Run) -> None:
    stub.will_be("9d6b" + "0" * 28)
    stub.plays["chef"] = [
        (
            "timed_out",
            {
                "web1": ran(0),
                "web2": {**ran(1), "signal": 9, "exit_code": None, "reason": "killed"},
                "web3": {"status": "timed_out", "reason": "gone", "late": ran(4)},
            },
        )
    ]
    stub.create({"command": "chef", "nodes": ["web1", "web2", "web3"], "env": {"A": "1", "B": "2"}})
    shown = run("job", "show", "9d6b")
    assert shown.code == 0 and shown.err == ""
    facts, table = shown.out.split("\n\n")
    assert facts.splitlines() == [
        f"job          9d6b{'0' * 28}",
        "command      chef",
        "status       timed_out",
        "started by   alice (user)",
        "created      2024-05-14 09:26:53Z",
        "updated      2024-05-14 09:26:55Z",
        "quorum       3 of 3",
        "timeout      1 h 00 m",
        "output       not kept",
        "environment  A=1 B=2",
    ]
    assert table.splitlines() == [
        "NODE  STATUS     EXIT     TIME   REASON",
        "web1  succeeded  0        2.0 s  -",
        "web2  failed     SIGKILL  2.0 s  killed",
        "web3  timed_out  -        -      gone; later reported failed, exit 4",
    ]


def test_nodes(stub: PushyStub, run: Run) -> None:
    stub.nodes = {"web1": (True, True), "db1": (True, False)}
    assert run("node", "list").out.splitlines() == [
        "NODE  STATUS  JOBS",
        "db1   online  unavailable",
        "web1  online  available",
    ]
    assert run("node", "show", "nobody").out.splitlines() == [
        "node    nobody",
        "status  offline",
        "jobs    unavailable",
    ]


def test_empty_lists_say_so_on_standard_error(run: Run) -> None:
    assert run("node", "list") == Result(0, "", "no node is connected\n")
    assert run("job", "list") == Result(0, "", "there are no jobs yet\n")
    assert run("job", "list", "--format", "json") == Result(0, "[]\n", "")
    assert run("job", "list", "--format", "jsonl") == Result(0, "", "")


def test_json_is_valid_as_a_whole_and_versioned(stub: PushyStub, run: Run) -> None:
    stub.nodes = {"web1": (True, True), "web2": (True, True)}
    stub.outputs = {("web1", "stdout"): b"\xff", ("web1", "stderr"): "ö\n".encode()}
    job_id = stub.add_job("true")
    kinds = {
        ("job", "list"): ["job_summary"],
        ("job", "show", job_id): ["job"],
        ("job", "output", job_id): ["output", "output"],
        ("node", "list"): ["node", "node"],
        ("node", "show", "web1"): ["node"],
        ("help", "exit-codes"): ["exit_code"] * 10,
    }
    for command, expected in kinds.items():
        whole = json.loads(run(*command, "--format", "json").out)
        documents = lines(run(*command, "--format", "jsonl").out)
        assert documents == (whole if isinstance(whole, list) else [whole])
        assert [document["kind"] for document in documents] == expected
        assert all(document["version"] == 1 for document in documents)


def test_output_in_json_is_text_or_base64(stub: PushyStub, run: Run) -> None:
    stub.outputs = {("web1", "stdout"): b"\xff", ("web1", "stderr"): "ö\n".encode()}
    stdout, stderr = lines(run("job", "output", stub.add_job(), "--format", "jsonl").out)
    assert (stdout["encoding"], stdout["content"]) == ("base64", "/w==")
    assert (stderr["encoding"], stderr["content"]) == ("utf-8", "ö\n")


def test_output_of_all_nodes_has_headings(stub: PushyStub, run: Run) -> None:
    stub.outputs = {
        ("web1", "stdout"): b"one\n\ttwo",
        ("web1", "stderr"): b"oops\r\n",
        ("web2", "stdout"): b"",
        ("web2", "stderr"): b"",
    }
    shown = run("job", "output", stub.add_job(nodes=("web1", "web2", "web3")))
    assert shown == Result(
        0,
        "==> web1 stdout <==\none\n\ttwo\n\n==> web1 stderr <==\noops\n\n"
        "==> web2 wrote nothing <==\n\n",
        "",
    )


def test_output_of_one_node_and_stream_stands_alone(stub: PushyStub, run: Run) -> None:
    stub.outputs = {("web1", "stdout"): b"\x1b[2Jx", ("web1", "stderr"): b""}
    job_id = stub.add_job()
    assert run("job", "output", job_id, "web1", "--stream", "stdout").out == "\\x1b[2Jx\n"
    assert run("job", "output", job_id, "web1", "--stream", "stderr") == Result(0, "", "")


def test_raw_output_is_byte_for_byte(
    stub: PushyStub, environ: Dict[str, str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stub.outputs = {("web1", "stdout"): b"\x00\x1b\xff\r\n"}
    job_id = stub.add_job()
    assert cli.main(["job", "output", job_id, "web1", "--stream", "stdout", "--raw"]) == 0
    assert capfdbinary.readouterr().out == b"\x00\x1b\xff\r\n"


def test_raw_needs_one_node_and_stream(run: Run) -> None:
    for arguments in (["aa"], ["aa", "web1"], ["aa", "--stream", "stdout"]):
        refused = run("job", "output", *arguments, "--raw")
        assert refused.code == 2 and "--raw needs one NODE" in refused.err


@pytest.mark.parametrize(
    "capture, status, complaint",
    [
        (False, "complete", "started without --capture"),
        (True, "running", "has not ended yet"),
        (True, "quorum_failed", "did not run"),
    ],
)
def test_why_there_is_no_output(
    stub: PushyStub, run: Run, capture: bool, status: str, complaint: str
) -> None:
    stub.plays["true"] = [(status, {})]
    job_id = stub.create({"command": "true", "nodes": ["web1"], "capture_output": capture})
    choices: List[List[str]] = [[], ["web1"], ["web1", "--stream", "stdout"]]
    for arguments in choices:
        shown = run("job", "output", job_id, *arguments)
        assert shown.code == 1 and shown.out == "" and complaint in shown.err


def test_output_of_a_node_that_was_not_chosen(stub: PushyStub, run: Run) -> None:
    nodes = tuple(f"web{number}" for number in range(12))
    refused = run("job", "output", stub.add_job(nodes=nodes), "db1")
    assert refused.code == 2
    assert "'db1' is not part of job" in refused.err and "web0, web1, web10" in refused.err


def test_hostile_text_reaches_no_terminal(stub: PushyStub, run: Run) -> None:
    name = HOSTILE.replace("\udcff", "")
    stub.nodes = {name: (True, True)}
    stub.outputs = {(name, "stdout"): HOSTILE.encode("utf-8", "surrogateescape")}
    stub.plays[HOSTILE] = [
        ("complete", {name: ran(1, reason=HOSTILE, late=ran(2, reason=HOSTILE))})
    ]
    more = {"user": HOSTILE, "dir": HOSTILE, "env": {HOSTILE: HOSTILE}}
    job_id = stub.create({"command": HOSTILE, "nodes": [name], "quorum": 1, **more})
    commands: List[List[str]] = [
        ["job", "list"],
        ["job", "show", job_id],
        ["job", "output", job_id],
        ["job", "output", job_id, "db1"],
        ["node", "list"],
        ["node", "show", name],
    ]
    for command in commands:
        for format_ in ("table", "json", "jsonl"):
            shown = run(*command, "--format", format_)
            assert shown.out or shown.err
            assert harmless(shown.out), command
            assert harmless(shown.err), command
    stub.next_answers = [Answer(400, json.dumps({"error": [HOSTILE]}).encode())]
    refused = run("job", "list")
    assert r"w\x1b[2J\x07\x9b\u202eb\x0a\udcffö" in refused.err
    assert harmless(refused.err)


def test_an_unreachable_server_is_exit_8_with_address_and_reason(run: Run) -> None:
    port = free_port()
    server = f"https://127.0.0.1:{port}/organizations/acme"
    code, out, err = run("--server", server, "job", "list")
    said = f"Error: cannot reach the server at 127.0.0.1:{port}: connection refused"
    assert (code, out, err.splitlines()[0]) == (8, "", said)


def test_not_permitted_is_exit_7(stub: PushyStub, run: Run) -> None:
    stub.next_answers = [Answer(403, b'{"error":["no access"]}')]
    assert run("node", "list") == Result(7, "", "Error: the server answered 403: no access\n")


def test_an_ambiguous_id_is_exit_2_and_lists_the_jobs(stub: PushyStub, run: Run) -> None:
    stub.will_be("ab" * 16, "ac" * 16)
    stub.add_job(), stub.add_job()
    refused = run("job", "show", "a")
    assert refused.code == 2
    assert "ab" * 16 in refused.err and "ac" * 16 in refused.err


def test_several_mistakes_are_listed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PUSHJOBS_USER")
    monkeypatch.setenv("PUSHJOBS_KEY", str(tmp_path / "none.pem"))
    refused = run("node", "list")
    assert refused.code == 2 and refused.out == ""
    assert refused.err.startswith("Error: 2 things are wrong:\n- some settings are missing:\n")
    assert "\n- cannot read the key file" in refused.err


def test_a_key_that_others_can_read_is_warned_about(stub: PushyStub, run: Run) -> None:
    stub.key.chmod(0o644)
    shown = run("node", "list", "--format", "json")
    assert shown.code == 0 and shown.out == "[]\n"
    assert "warning: others can get at your key" in shown.err


def test_a_profile_from_the_file(
    stub: PushyStub, run: Run, environ: Dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(environ["XDG_CONFIG_HOME"]) / "push-jobs"
    folder.mkdir(parents=True)
    profile = {"server": stub.url, "user": "alice", "key": str(stub.key), "ca": str(stub.ca)}
    (folder / "config.yml").write_text(json.dumps({"profiles": {"here": profile}}))
    for name in ("SERVER", "USER", "KEY", "CA"):
        monkeypatch.delenv(f"PUSHJOBS_{name}")
    assert run("--profile", "here", "node", "list").code == 0
    assert "choose a profile" in run("node", "list").err


def test_wrong_usage_is_exit_2(run: Run) -> None:
    for arguments in (["job", "nonsense"], ["node", "show"], ["job", "list", "--format", "xml"]):
        refused = run(*arguments)
        assert refused.code == 2 and refused.out == "" and "Error" in refused.err


def test_a_defect_of_ours_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: object) -> None:
        raise RuntimeError("boom \x1b")

    monkeypatch.setattr("push_jobs.commands_node.connect", broken)
    shown = run("node", "list")
    assert shown.code == 1 and shown.out == "" and "Traceback" not in shown.err
    assert r"this is a defect of push-jobs: RuntimeError: boom \x1b" in shown.err
    monkeypatch.setenv("PUSHJOBS_DEBUG", "1")
    assert "Traceback" in run("node", "list").err


def test_an_interrupt_is_exit_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("push_jobs.commands_node.connect", interrupted)
    assert run("node", "list").code == 130


def test_a_narrow_encoding_does_not_stop_anything(
    stub: PushyStub, environ: Dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub.nodes = {"größe": (True, True)}
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.main(["node", "list"]) == 0
    assert "gr\\xf6\\xdfe" in (tmp_path / "out").read_text()

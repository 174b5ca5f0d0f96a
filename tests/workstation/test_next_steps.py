"""What messages say about the next step, and what is printed first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest
from command_run import Run
from pushy_stub import Answer, PushyStub, free_port, ran

from push_jobs import Client
from push_jobs.address import parse_server
from push_jobs.errors import ServerUnreachable, UntrustedServer, UsageError
from push_jobs.failures import next_steps
from push_jobs.node_advice import advice
from push_jobs.node_models import NodeDetail, Presence

DASHED = "ffc23068-5a68-49a9-a863-25c9d1e13b5b"
ENTRY = "import sys; from push_jobs.entry import main; sys.exit(main())"
INTERRUPTED = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def test_the_id_comes_before_the_output(
    stub: PushyStub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(*_arguments: object) -> None:
        print('{"kind": "output_piece"}')

    monkeypatch.setattr("push_jobs.commands_start.print_live", printed)
    stub.plays["true"] = [("complete", {"web1": ran(0)})]
    _, out, _ = run("job", "start", "true", "web1", "--follow", "--format", "jsonl")
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds[:2] == ["job_started", "output_piece"]


def test_ids_may_have_dashes(stub: PushyStub, client: Client, run: Run) -> None:
    full_id = DASHED.replace("-", "")
    stub.will_be(full_id)
    stub.add_job()
    assert client.resolve(DASHED) == client.resolve(DASHED[:12]) == full_id
    code, out, _ = run("job", "show", DASHED)
    assert code == 0 and full_id in out


def test_an_interrupt_while_modules_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", ENTRY],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_wrong_signature_says_whose_it_was(
    stub: PushyStub, environ: Dict[str, str], run: Run
) -> None:
    stub.next_answers = [Answer(401, b'{"error":["Invalid signature"]}')]
    code, _, err = run("node", "list")
    assert code == 7
    assert f"Invalid signature; it was signed as '{stub.user}' with {stub.key}" in err
    assert "; --user and --key choose them" in err


def test_a_missing_right_is_not_about_keys(stub: PushyStub, run: Run) -> None:
    stub.next_answers = [Answer(403, b'{"error":["no access"]}')]
    assert "--key" not in run("node", "list").err


def test_a_server_that_is_away(run: Run) -> None:
    url = f"https://127.0.0.1:{free_port()}/organizations/acme"
    code, _, err = run("--server", url, "node", "list")
    assert code == 8
    assert "connection refused\nsee whether the server runs" in err and "443" not in err


def test_the_port_that_nobody_wrote() -> None:
    steps = "\n".join(next_steps(ServerUnreachable("push.test:443", "connection refused")))
    assert "without a port means 443; the server's usual port is 10003" in steps
    assert not list(next_steps(UntrustedServer("push.test:443", "it is another")))
    assert not list(next_steps(ServerUnreachable("push.test:443", "silence", True)))


def test_an_organization_in_upper_case() -> None:
    with pytest.raises(UsageError, match="names of organizations are lower case"):
        parse_server("https://push.test/organizations/Demo")


def test_an_option_for_all_commands_after_the_command(run: Run) -> None:
    code, _, err = run("node", "list", "--server", "https://push.test/organizations/acme")
    assert code == 2
    assert "options for all commands stand before the command: push-jobs --server ..." in err
    assert "before the command" not in run("node", "list", "--nonsense").err


def test_the_serf_agent_of_the_server_is_away() -> None:
    reason = "the Serf agent of this server (127.0.0.1:7373) is away: Connection refused"
    for presence in (Presence.UP, Presence.NEVER_SEEN):
        given = advice(NodeDetail("web1", presence, False, True, reason=reason))
        assert given is not None and given.startswith("start the Serf agent on the server")


def test_one_node_is_no_nodes(stub: PushyStub, run: Run) -> None:
    stub.plays["true"] = [("complete", {"web1": ran(0)})]
    assert "complete: 1 of 1 node succeeded" in run("job", "start", "true", "web1").err
    cancelled = run("job", "cancel", stub.jobs[0]["id"], "--no-wait").err
    assert "of 1 node 1 ended before" in cancelled


def test_a_list_that_is_asked_for_too_much(run: Run) -> None:
    assert run("job", "list", "--node", "nobody").err == "no job matches\n"


def test_a_profile_file_that_does_not_exist(run: Run) -> None:
    assert "config.yml: the file does not exist" in run("--profile", "staging", "node", "list").err


def test_help_of_cancel_tells_of_serf(run: Run) -> None:
    assert "Over Serf nothing confirms a stop" in run("job", "cancel", "--help").out

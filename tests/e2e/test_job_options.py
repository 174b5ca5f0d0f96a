"""Every option of a job from our command line to the process on a node, and back."""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from house import House, open_house
from waiting import wait_until

pytestmark = pytest.mark.e2e

NODES = ("web1", "web2", "web3")
SHOW = """
import json, os
place = os.environ.get("CHEF_PUSH_JOB_FILE")
both = place and (os.path.dirname(place), place)
print(json.dumps({
    "user": os.geteuid(),
    "dir": os.getcwd(),
    "env": dict(os.environ),
    "file": place and list(open(place, "rb").read()),
    "modes": both and [oct(os.stat(each).st_mode & 0o777) for each in both],
}))
"""
LEAVES = (
    "(trap '' PIPE; while [ ! -e go ]; do sleep 0.02; done; echo late; touch late) & "
    "echo early; exit 5"
)
WHITELIST: Dict[str, Any] = {
    "show": [sys.executable, "-I", "-c", SHOW],
    "bytes": {"command_line": "printf '\\000\\377\\303('; printf '\\376' >&2", "shell": True},
    "silent": {"command_line": "exec >&- 2>&-; exit 3", "shell": True},
    "leaves": {"command_line": LEAVES, "shell": True},
    "web3-only": {"command_line": '[ "$CHEF_PUSH_NODE_NAME" = web3 ]', "shell": True},
    "slow": ["sleep", "60"],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with three agents; web2 allows one variable only."""
    with open_house(tmp_path_factory.mktemp("options")) as house:
        for node in NODES:
            more: Dict[str, Any] = {}
            if node == "web2":
                more["allowed_overwritable_env_vars"] = ["GREETING"]
            house.add_agent(node, WHITELIST, **more)
        yield house


@pytest.fixture(autouse=True)
def ready(house: House) -> None:
    """Each test finds all nodes available."""
    house.wait_available(*NODES)


def run(house: House, *words: str) -> Dict[str, Any]:
    """The job that ``job start`` prints at its end."""
    done = house.push_jobs("job", "start", *words, "--format", "json")
    job: Dict[str, Any] = json.loads(done.out)
    return job


def seen(job: Dict[str, Any]) -> Dict[str, Any]:
    """What the command saw on each node."""
    pieces = [piece for piece in job["output"] if piece["stream"] == "stdout"]
    return {piece["node"]: json.loads(piece["content"]) for piece in pieces}


def test_user_directory_environment_and_file(house: House, tmp_path: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    file = tmp_path / "content"
    file.write_bytes(bytes(range(256)))
    variables = ["--env", "GREETING=hello world=\u00e9", "--env", "OTHER=x", "--env", "PATH=/evil"]
    place = ["--user", me, "--dir", str(tmp_path), "--file", str(file)]
    job = run(house, "show", "web1", "web2", "--capture", *place, *variables)
    assert job["status"] == "complete", job
    found = seen(job)
    for node in ("web1", "web2"):
        shown, env = found[node], found[node]["env"]
        assert (shown["user"], shown["dir"]) == (os.geteuid(), str(tmp_path))
        assert shown["file"] == list(range(256))
        assert shown["modes"] == ["0o700", "0o600"]
        assert (env["CHEF_PUSH_NODE_NAME"], env["CHEF_PUSH_JOB_ID"]) == (node, job["id"])
        assert env["GREETING"] == "hello world=\u00e9"
        assert env["CHEF_PUSH_ENV_PATH"] == "/evil" != env["PATH"]
        assert not Path(env["CHEF_PUSH_JOB_FILE"]).exists(), "it goes with the job"
    assert found["web1"]["env"]["OTHER"] == found["web2"]["env"]["CHEF_PUSH_ENV_OTHER"] == "x"
    assert "OTHER" not in found["web2"]["env"]


def test_without_options_nothing_is_set(house: House) -> None:
    (shown,) = seen(run(house, "show", "web1", "--capture")).values()
    assert shown["file"] is None and "CHEF_PUSH_JOB_FILE" not in shown["env"]
    assert not [name for name in shown["env"] if name.startswith("CHEF_PUSH_ENV_")]


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--user", "no-such-user"], "the user 'no-such-user' does not exist on this node"),
        (["--dir", "/no/such"], "the directory '/no/such' does not exist"),
        (["--dir", "tmp"], "the directory 'tmp' is no absolute path"),
    ],
)
def test_a_node_says_why_it_refuses(house: House, options: List[str], reason: str) -> None:
    job = run(house, "show", "web1", *options)
    (node,) = job["nodes"]
    assert (job["status"], node["status"], node["reason"]) == ("quorum_failed", "nacked", reason)


def test_bytes_that_are_not_utf8(house: House) -> None:
    job_id = run(house, "bytes", "web1", "--capture")["id"]
    with house.client() as client:
        assert client.output(job_id, "web1") == b"\0\xff\xc3("
        assert client.output(job_id, "web1", "stderr") == b"\xfe"


def test_output_that_is_closed_early_or_not_asked_for(house: House) -> None:
    job = run(house, "silent", "web1", "--capture")
    assert [(node["status"], node["exit_code"]) for node in job["nodes"]] == [("failed", 3)]
    quiet = run(house, "bytes", "web1")["id"]
    with house.client() as client:
        assert client.output(job["id"], "web1") == client.output(job["id"], "web1", "stderr") == b""
        assert client.output(quiet, "web1") is None


def test_children_that_are_left_behind_live_on_unheard(house: House, tmp_path: Path) -> None:
    job = run(house, "leaves", "web1", "--capture", "--dir", str(tmp_path))
    assert [(node["status"], node["exit_code"]) for node in job["nodes"]] == [("failed", 5)]
    house.wait_available("web1")
    (tmp_path / "go").touch()
    # Its pipe has nobody at the other end; a child that did not ignore SIGPIPE would end there.
    wait_until((tmp_path / "late").exists, "what the child does after the job")
    with house.client() as client:
        assert client.output(job["id"], "web1") == b"early\n"


@pytest.mark.parametrize(
    "quorum, status", [("2", "complete"), ("60%", "complete"), ("3", "quorum_failed")]
)
def test_a_quorum_as_count_and_as_percentage(house: House, quorum: str, status: str) -> None:
    job = run(house, "web3-only", "web1", "web3", "nowhere", "--quorum", quorum)
    assert (job["status"], job["quorum"]) == (status, 3 if quorum == "3" else 2)


def test_a_timeout_ends_the_command(house: House) -> None:
    done = house.push_jobs("job", "start", "slow", "web1", "--timeout", "1s", "--format", "json")
    assert (done.code, json.loads(done.out)["run_timeout"]) == (5, 1)


def test_whoami(house: House) -> None:
    shown = json.loads(house.push_jobs("whoami", "--format", "json").out)
    assert (shown["name"], shown["caller_kind"], shown["member"]) == ("admin", "user", True)
    assert [shown[right]["allowed"] for right in ("read", "write", "settings")] == [True] * 3

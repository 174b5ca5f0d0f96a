"""The Ruby push client of old, unmodified, on nodes of our server."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any, Dict, Iterator, List

import psutil
import pytest
from house import House, open_house
from peer import Missing, skip
from ruby_client import RubyClient, add_ruby_client
from waiting import wait_until

pytestmark = pytest.mark.e2e

NODE = "ruby1"
WHITELIST = {
    "hello": 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo careful >&2',
    "fail": "echo before; exit 9",
    "sleep": "sleep 60",
    "where": "id -un; pwd",
    "variables": (
        'echo "$COLOUR $CHEF_PUSH_ENV_SHAPE|$SHAPE $CHEF_PUSH_JOB_ID $CHEF_PUSH_NODE_NAME"'
    ),
    "file": 'echo "$CHEF_PUSH_JOB_FILE"; cat "$CHEF_PUSH_JOB_FILE"',
    "umlauts": r"printf '\303\244\342\202\254\n'",
    "much": "head -c 100000 /dev/zero | tr '\\0' x",
    "note": "echo $$ > pid.new; mv pid.new pid; sleep 60",
    "odd": r"printf '\377\n'",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with one Ruby client, shared by the tests that break neither."""
    with open_house(tmp_path_factory.mktemp("ruby")) as house:
        client = added(house, NODE, WHITELIST, allowed_overwritable_env_vars=["COLOUR"])
        try:
            yield house
        finally:
            client.stop()


@pytest.fixture
def house(shared: House) -> House:
    """Each test finds the node available."""
    shared.wait_available(NODE)
    return shared


def added(house: House, node: str, whitelist: Dict[str, str], **settings: Any) -> RubyClient:
    """A client that has been started, or the end of the test."""
    try:
        return add_ruby_client(house, node, whitelist, **settings)
    except Missing as reason:
        skip(reason)


def words(job: Dict[str, Any]) -> Dict[str, str]:
    return {node["name"]: node["status"] for node in job["nodes"]}


def output(house: House, job_id: str, stream: str = "stdout", node: str = NODE) -> bytes:
    with house.client() as client:
        return client.output(job_id, node, stream) or b""


def captured(house: House, *arguments: str) -> List[str]:
    """The lines of a captured job that has to succeed."""
    job_id = house.start_job(*arguments, NODE, "--capture")
    job = house.wait_job(job_id)
    assert words(job) == {NODE: "succeeded"}, job
    return output(house, job_id).decode().splitlines()


@pytest.mark.proves("P-1a", "P-1b", "P-2a", "P-3a", "P-3b")
def test_a_command_succeeds_and_both_channels_are_kept(house: House) -> None:
    job_id = house.start_job("hello", NODE, "--capture")
    job = house.wait_job(job_id)
    assert (job["status"], words(job)) == ("complete", {NODE: "succeeded"})
    assert output(house, job_id) == b"hello from ruby1\n"
    assert output(house, job_id, "stderr") == b"careful\n"


def test_without_capture_nothing_is_kept(house: House) -> None:
    job_id = house.start_job("hello", NODE)
    assert words(house.wait_job(job_id)) == {NODE: "succeeded"}
    with house.client() as client:
        assert client.output(job_id, NODE) is None


def test_output_beyond_ascii_is_kept(house: House) -> None:
    assert captured(house, "umlauts") == ["\u00e4\u20ac"]


@pytest.mark.proves("P-5c")
def test_output_that_the_client_holds_too_large_does_not_harm_the_result(house: House) -> None:
    job_id = house.start_job("much", NODE, "--capture")
    assert words(house.wait_job(job_id)) == {NODE: "succeeded"}
    with house.client() as client:
        assert client.output(job_id, NODE) is None


@pytest.mark.proves("P-5b", "P-7a")
def test_a_result_that_the_client_cannot_tell_is_a_crash_and_not_a_timeout(house: House) -> None:
    done = house.push_jobs("job", "start", "odd", NODE, "--capture", "--format", "json")
    [node] = json.loads(done.out)["nodes"]
    assert node["status"] == "crashed"
    assert "says it is idle" in node["reason"]


def test_a_command_that_its_whitelist_lacks_is_refused(house: House) -> None:
    done = house.push_jobs("job", "start", "rm -rf /", NODE)
    assert done.code == 7
    assert "1 nacked" in done.err


def test_a_failing_command_has_failed_without_an_exit_code(house: House) -> None:
    job_id = house.start_job("fail", NODE, "--capture")
    job = house.wait_job(job_id)
    assert (job["status"], words(job)) == ("complete", {NODE: "failed"})
    assert job["nodes"][0]["exit_code"] is None  # this client tells none
    assert output(house, job_id) == b"before\n"


@pytest.mark.proves("P-7b")
def test_a_command_that_lasts_too_long_is_stopped_and_the_node_comes_back(house: House) -> None:
    done = house.push_jobs("job", "start", "sleep", NODE, "--timeout", "1s")
    assert done.code == 5
    assert "1 timed_out" in done.err
    house.wait_available(NODE)
    assert captured(house, "hello") == ["hello from ruby1"]


@pytest.mark.proves("P-4b")
def test_a_cancelled_command_is_gone_when_cancel_returns(house: House, tmp_path: Path) -> None:
    job_id = house.start_job("note", NODE, "--dir", str(tmp_path))
    started = tmp_path / "pid"
    wait_until(started.exists, "the command to run")
    pid = int(started.read_text())
    assert psutil.pid_exists(pid)
    done = house.push_jobs("job", "cancel", job_id, "--reason", "wrong release")
    assert done.code == 0, done
    assert not psutil.pid_exists(pid)
    job = house.job(job_id)
    assert (job["status"], words(job)) == ("aborted", {NODE: "aborted"})
    assert job["nodes"][0]["reason"] == "cancelled by admin: wrong release"
    house.wait_available(NODE)
    assert captured(house, "hello") == ["hello from ruby1"]


def test_a_node_at_work_refuses_another_job(house: House, tmp_path: Path) -> None:
    first = house.start_job("note", NODE, "--dir", str(tmp_path))
    wait_until((tmp_path / "pid").exists, "the command to run")
    second = house.push_jobs("job", "start", "hello", NODE, "--format", "json")
    assert json.loads(second.out)["status"] == "quorum_failed"
    assert words(house.job(first)) == {NODE: "running"}
    assert house.push_jobs("job", "cancel", first).code == 0


def test_user_and_directory(house: House) -> None:
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    lines = captured(house, "where", "--user", user, "--dir", "/usr")
    assert lines == [user, "/usr"]


def test_environment(house: House) -> None:
    """The node allows COLOUR to be set; anything else gets another name."""
    variables = ("--env", "COLOUR=deep blue", "--env", "SHAPE=round")
    job_id = house.start_job("variables", NODE, "--capture", *variables)
    house.wait_job(job_id)
    assert output(house, job_id).decode() == f"deep blue round| {job_id} {NODE}\n"


@pytest.mark.parametrize("content", [b"plain text\n", b"quotes ' \" and \\ \xc3\xa4\n"])
def test_file(house: House, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "content"
    file.write_bytes(content)
    path, *lines = captured(house, "file", "--file", str(file))
    try:
        assert "\n".join([*lines, ""]).encode() == content
    finally:
        Path(path).unlink()


@pytest.mark.parametrize("options", [("--user", "no-such-user"), ("--dir", "/no/such/dir")])
def test_options_that_the_node_cannot_fulfil_are_refused(house: House, options: List[str]) -> None:
    done = house.push_jobs("job", "start", "hello", NODE, *options, "--format", "json")
    assert words(json.loads(done.out)) == {NODE: "nacked"}

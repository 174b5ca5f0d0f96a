"""Session and runner as a service manager starts them: two processes of two users.

The session runs as ``nobody`` here. It must get at results and output, and at nothing else.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from agent_process import AgentProcess
from raw_server import RawServer, key_of
from stub_certificates import write_private
from waiting import wait_until

import push_jobs_agent
import push_jobs_wire
from push_jobs_wire.messages import Commit, Run

GUEST = "nobody"
STRANGER = "daemon"
JOB = "f" * 32
COMMANDS: Dict[str, Any] = {
    "prints": ["sh", "-c", "echo out; echo err >&2; exit 3"],
    "waits": ["sh", "-c", "until [ -e $DOOR ]; do sleep 0.02; done; echo went on"],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")


def as_user(name: str) -> Dict[str, Any]:
    """What makes a process of another user, who has only his own group."""
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Services(AgentProcess):
    """The two processes; ``start`` starts the runner, too."""

    runner: "Optional[subprocess.Popen[bytes]]" = None

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        """Start the runner as root and the session as the guest."""
        self.start_runner()
        wait_until((self.state_dir / "runner.sock").exists, "the runner")
        self.start_session()

    def start_runner(self) -> None:
        """What a service manager does, also when the runner has ended."""
        words = ["push_jobs_agent.runner_start", "-c", str(self.settings_file)]
        with (self.folder / "runner.log").open("ab") as log:
            self.runner = subprocess.Popen(
                [self._python, "-m", *words, f"--session-user={GUEST}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_session(self) -> None:
        """The session alone."""
        with self.log_file.open("ab") as log:
            self.session = subprocess.Popen(
                [self._python, "-m", "push_jobs_agent", "-c", str(self.settings_file)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **as_user(GUEST),
            )

    @property
    def _environment(self) -> Dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder / "code"), "HOME": "/"}

    @property
    def _python(self) -> str:
        return (self.folder / "python").read_text()

    def close(self) -> None:
        """Leave nothing behind."""
        super().close()
        if self.runner is not None:
            self.runner.wait(20)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can pass through, with a copy of the code that everybody can read."""
    made = Path(tempfile.mkdtemp(prefix="push-jobs-users-"))
    made.chmod(0o755)
    (made / "code").mkdir()
    for package in (push_jobs_agent, push_jobs_wire):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, made / "code" / source.name, symlinks=False)
    subprocess.run(["chmod", "-R", "a+rX", str(made / "code")], check=True)
    (made / "python").write_text(_python_for_everybody())
    yield made
    shutil.rmtree(made)


def _python_for_everybody() -> str:
    """An interpreter that the guest can start and that has what the agent needs."""
    needed = "import zmq, yaml, requests, cryptography"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", needed], cwd="/", capture_output=True, check=False, **as_user(GUEST)
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("no Python here that another user could start the agent with")


@pytest.fixture
def server(folder: Path) -> Iterator[RawServer]:
    """A server that says what a test wants."""
    made = RawServer(folder, interval=0.5)
    yield made
    made.close()


@pytest.fixture
def services(folder: Path, server: RawServer) -> Iterator[Services]:
    """Both processes, connected to the server."""
    entries = {**COMMANDS, "waits": {"command_line": COMMANDS["waits"], "env": {}}}
    made = Services(
        folder / "node", server.url, server.ca_file, key_of("web1"), entries, start_runner=False
    )
    made.folder.chmod(0o755)
    (made.folder / "python").write_text((folder / "python").read_text())
    (made.folder / "code").symlink_to(folder / "code")
    guest = pwd.getpwnam(GUEST)
    write_private(made.folder / "agent.log", b"")
    for name in ("web1.pem", "agent.log"):
        os.chown(made.folder / name, guest.pw_uid, guest.pw_gid)
    os.chmod(server.ca_file, 0o644)
    made.start()
    server.expect("heartbeat")
    server.expect("heartbeat")
    yield made
    made.close()


def run(server: RawServer, command: str, **fields: Any) -> None:
    """Vote and run, as far as the agent is concerned."""
    commit = Commit(JOB, command, server="push", run_timeout=60, **fields)
    server.say(commit)
    server.expect("ack_commit", job_id=JOB)
    server.say(Run(JOB))


def test_output_and_result_reach_a_session_that_is_nobody(
    server: RawServer, services: Services
) -> None:
    run(server, "prints", capture=True)
    outcome = server.expect("failed", job_id=JOB)
    assert (outcome["stdout"], outcome["stderr"]) == ("out\n", "err\n")
    assert outcome["exit_code"] == 3


def test_the_session_can_read_output_and_nothing_else(
    folder: Path, server: RawServer, services: Services
) -> None:
    door = folder / "door"
    run(server, "waits", capture=True, env={"DOOR": str(door), "SECRET": "xyzzy"}, file="raw:abc")
    server.expect("ack_run", job_id=JOB)
    job = services.state_dir / "spool" / JOB
    readable = [path for path in _files(services.state_dir) if _can(GUEST, "cat", path)]
    assert readable and all(path.parent == job for path in readable if path.name != "session.lock")
    names = {path.name for path in readable}
    assert not names & {"request.json", "process.json"}
    assert not [path for path in _files(services.state_dir) if _can(STRANGER, "cat", path)]
    door.touch()
    server.expect("succeeded", job_id=JOB)


def _files(folder: Path) -> List[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _can(user: str, *words: "str | Path") -> bool:
    done = subprocess.run(
        [str(word) for word in words], cwd="/", capture_output=True, check=False, **as_user(user)
    )
    return done.returncode == 0


_CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def test_only_the_session_can_connect_to_the_runner(services: Services) -> None:
    socket = services.state_dir / "runner.sock"
    assert _can(GUEST, services._python, "-c", _CONNECT, socket)
    assert not _can(STRANGER, services._python, "-c", _CONNECT, socket)


def test_a_session_that_stops_leaves_the_job_alone_and_the_next_one_reports_it(
    folder: Path, server: RawServer, services: Services
) -> None:
    door = folder / "door"
    run(server, "waits", capture=True, env={"DOOR": str(door)})
    server.expect("ack_run", job_id=JOB)
    services.signal(signal.SIGTERM)
    assert services.exit_code() == 0  # at once: nobody has opened the door yet
    door.touch()
    services.start_session()
    assert server.expect("succeeded", job_id=JOB)["stdout"] == "went on\n"


def test_changed_options_end_the_runner_once_it_is_idle(
    folder: Path, server: RawServer, services: Services
) -> None:
    door = folder / "door"
    run(server, "waits", env={"DOOR": str(door)})
    server.expect("ack_run", job_id=JOB)
    services.write_settings(output_limit=4096)
    services.signal(signal.SIGHUP)
    services.wait_for_line("read the settings again")
    assert services.runner is not None and services.runner.poll() is None
    door.touch()
    server.expect("succeeded", job_id=JOB)
    assert services.runner.wait(20) == 0
    services.start_runner()
    line = services.wait_for_line("the runner is there", 2)
    assert b"--output-limit=4096" in Path(f"/proc/{line['runner_pid']}/cmdline").read_bytes()


def test_a_wrong_whitelist_keeps_the_runner_that_works(
    server: RawServer, services: Services
) -> None:
    services.write_settings(whitelist=str(services.folder / "missing.json"))
    services.signal(signal.SIGHUP)
    services.wait_for_line("the settings are wrong; the old ones are kept")
    run(server, "prints", capture=True)
    server.expect("failed", job_id=JOB)
    assert services.runner is not None and services.runner.poll() is None


Words = Callable[[Path], Tuple[str, ...]]


@pytest.mark.parametrize(
    "settings, words, expected",
    [
        ({}, (), "start_runner: has to be false when a service manager starts the runner"),
        ({"start_runner": False, "output_limit": "much"}, (), "output_limit"),
        ({"start_runner": False}, ("--session-user=no-such-user",), "no-such-user"),
        ({"start_runner": False}, ("--colour",), "--colour"),
        (None, (), "cannot be read"),
    ],
)
def test_mistakes_are_named_and_nothing_is_started(
    tmp_path: Path,
    settings: Optional[Dict[str, Any]],
    words: Tuple[str, ...],
    expected: str,
) -> None:
    made = AgentProcess(
        tmp_path / "n", "https://127.0.0.1/organizations/acme", tmp_path / "ca", key_of("web1"), {}
    )
    if settings is None:
        made.settings_file.unlink()
    else:
        made.write_settings(**settings)
    command = [sys.executable, "-m", "push_jobs_agent.runner_start", "-c", str(made.settings_file)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 43
    assert expected in done.stderr and "Traceback" not in done.stderr

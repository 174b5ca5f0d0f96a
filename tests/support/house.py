"""A real server with real agents and our command line, as processes in a temporary folder.

Everything is stopped by its process id. ``House.close`` prints the logs, which pytest shows when a
test fails. Nothing here reaches into a process: only files, signals and command lines are used.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional
from urllib.parse import urlsplit

import yaml
from agent_process import AgentProcess, close_agents
from cryptography.hazmat.primitives.asymmetric import rsa
from raw_server import PATIENCE
from waiting import wait_until

from push_jobs import Client
from push_jobs_wire.chef_auth import load_private_key

ORG = "acme"
ADMIN = "admin"
SETTINGS: Dict[str, Any] = {
    "http.host": "127.0.0.1",
    "http.port": 0,
    "zeromq.host": "127.0.0.1",
    "zeromq.heartbeat_port": 0,
    "zeromq.command_port": 0,
    "heartbeat_interval": 0.5,
}
TRACEBACK = "Traceback (most recent call last)"


class Done(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class House:
    """One data directory, its server, its agents.

    Args:
        folder: an empty folder of its own.
        settings: server settings by their dotted names, besides those of ``SETTINGS``.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.key_file = folder / "admin.pem"
        self.server_log = folder / "server.log"
        self.agents: Dict[str, AgentProcess] = {}
        self.server: Optional["subprocess.Popen[bytes]"] = None
        self.address = ""
        self._settings = {**SETTINGS, **settings}

    @property
    def url(self) -> str:
        """The organization's address."""
        return f"{self.address}/organizations/{ORG}"

    def init(self) -> Done:
        """Make the data directory."""
        words = [f"--set={name}={value}" for name, value in self._settings.items()]
        whom = ["--org", ORG, "--admin", ADMIN, "--host", "127.0.0.1"]
        return self.admin("init", *whom, "--admin-key", str(self.key_file), *words)

    def admin(self, *words: str) -> Done:
        """Run a ``push-jobs-server`` command that must succeed."""
        done = run([*self._server_words(), *words])
        assert done.code == 0, done.err
        return done

    def start_server(self) -> None:
        """Start the server and wait until it listens; its ports stay the same ever after."""
        addresses = self.data / "run" / "addresses.json"
        addresses.unlink(missing_ok=True)
        with self.server_log.open("ab") as log:
            self.server = subprocess.Popen(
                [*self._server_words(), "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: addresses.exists() or self._ended(), "the server to listen")
        assert not self._ended(), self.server_log.read_text()
        self._keep_ports(json.loads(addresses.read_text()))

    def _ended(self) -> bool:
        return self.server is None or self.server.poll() is not None

    def _keep_ports(self, addresses: Dict[str, Any]) -> None:
        self.address = addresses["http"]
        file = self.data / "settings.yml"
        settings = yaml.safe_load(file.read_text())
        settings["http"]["port"] = urlsplit(self.address).port
        for name in ("heartbeat_port", "command_port"):
            settings["zeromq"][name] = addresses[name]
        file.write_text(yaml.safe_dump(settings))

    def signal_server(self, number: int) -> None:
        """Send a signal to the server."""
        assert self.server is not None
        self.server.send_signal(number)

    def kill_server(self) -> None:
        """kill -9 for the server."""
        self.signal_server(signal.SIGKILL)
        assert self.server is not None
        self.server.wait(PATIENCE)

    def stop_server(self) -> int:
        """Ask the server to stop; its exit code."""
        self.signal_server(signal.SIGTERM)
        assert self.server is not None
        return self.server.wait(PATIENCE)

    def new_key(self, node: str) -> rsa.RSAPrivateKey:
        """Register a node and return its key."""
        file = self.folder / f"{node}.pem"
        self.admin("client", "create", node, "--key-out", str(file))
        return load_private_key(file.read_bytes())

    def add_agent(
        self,
        node: str,
        whitelist: Dict[str, Any],
        key: Optional[rsa.RSAPrivateKey] = None,
        **settings: Any,
    ) -> AgentProcess:
        """Register a node unless it has a key, and start its agent."""
        key = key or self.new_key(node)
        place = self.folder / f"node-{node}"
        ca_file = self.data / "ca.crt"
        agent = AgentProcess(place, self.url, ca_file, key, whitelist, node_name=node, **settings)
        self.agents[node] = agent
        agent.start()
        return agent

    def client(self) -> Client:
        """A client of the administrator; the caller closes it."""
        return Client(self.url, ADMIN, self.key_file, ca=self.data / "ca.crt", timeout=PATIENCE)

    def wait_available(self, *nodes: str) -> None:
        """Wait until the nodes take jobs."""
        with self.client() as client:
            wait_until(
                lambda: all(client.node(node).available for node in nodes), f"{nodes} available"
            )

    def push_jobs(self, *words: str) -> Done:
        """Run our command line as the administrator."""
        return run([*program("push_jobs"), *words], **self._variables())

    def popen(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start our command line as the administrator; the caller waits for it."""
        return subprocess.Popen(
            [*program("push_jobs"), *words],
            env={**os.environ, **self._variables()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def start_job(self, *words: str) -> str:
        """Start a job, do not wait for it; its id."""
        done = self.push_jobs("job", "start", "--detach", *words)
        assert done.code == 0, done.err
        return done.out.strip()

    def job(self, job_id: str) -> Dict[str, Any]:
        """A job as ``job show`` has it in JSON."""
        done = self.push_jobs("job", "show", job_id, "--format", "json")
        assert done.code == 0, done.err
        job: Dict[str, Any] = json.loads(done.out)
        return job

    def wait_job(self, job_id: str) -> Dict[str, Any]:
        """Wait for the end of a job, even while the server is away; the job as JSON."""
        with self.client() as client:
            client.wait(job_id, timeout=PATIENCE)
        return self.job(job_id)

    def _variables(self) -> Dict[str, str]:
        return {
            "PUSHJOBS_SERVER": self.url,
            "PUSHJOBS_USER": ADMIN,
            "PUSHJOBS_KEY": str(self.key_file),
            "PUSHJOBS_CA": str(self.data / "ca.crt"),
            "XDG_CONFIG_HOME": str(self.folder),
        }

    def _server_words(self) -> List[str]:
        return server_words(self.data)

    def close(self) -> None:
        """Leave no process behind, and print the logs."""
        close_agents(self.agents.values())
        if not self._ended():
            self.kill_server()
        for log in [self.server_log, *(agent.log_file for agent in self.agents.values())]:
            print(f"--- {log}\n{log.read_text() if log.exists() else ''}")

    def logs(self) -> str:
        """All logs as one text."""
        files = [self.server_log, *(agent.log_file for agent in self.agents.values())]
        return "".join(file.read_text() for file in files if file.exists())


def server_words(data: Path) -> List[str]:
    """The beginning of every command about a data directory."""
    return [*program("push_jobs_server"), "--data-dir", str(data)]


def program(package: str) -> List[str]:
    """Our command line of this package, by the Python that runs the tests."""
    code = f"import sys; from {package}.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code]


def run(words: List[str], **variables: str) -> Done:
    """Run a command to its end; none may ever show a traceback."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PUSHJOBS_")}
    done = subprocess.run(
        words,
        env={**kept, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert TRACEBACK not in out + err, out + err
    return Done(done.returncode, out, err)


@contextmanager
def open_house(
    folder: Path, kind: Callable[..., House] = House, /, **settings: Any
) -> Iterator[House]:
    """A house, of this kind, whose server runs; closed at the end."""
    house = kind(folder, **settings)
    try:
        house.init()
        house.start_server()
        yield house
        assert TRACEBACK not in house.logs()
    finally:
        house.close()

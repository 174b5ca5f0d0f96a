"""The demo: a real server and three real agents as processes, and one job on all of them.

It uses the programs as a user would: by their command lines, with files in a temporary folder.
Nothing of the project is imported, and whatever was started is stopped by its process id.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NoReturn, Optional

BIN = Path(sys.executable).parent
NODES = ("web1", "web2", "db1")
PATIENCE = 60.0
"""Seconds that a step may take before the demo gives up."""

WHITELIST = {
    "hello": ["sh", "-c", 'echo "hello from $CHEF_PUSH_NODE_NAME"'],
    "memory": ["head", "-n", "3", "/proc/meminfo"],
    "fails": ["sh", "-c", "echo 'something is wrong' >&2; exit 3"],
    "/wait ([0-9]+)/": ["sleep", "\\1"],
}


class DemoError(Exception):
    """Raised when the demo cannot go on; its text says why."""


class Demo:
    """Everything that runs, and the folder that holds its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "server"
        self.url = ""
        self.succeeded = False
        self._processes: Dict[str, "subprocess.Popen[bytes]"] = {}

    def start_server(self) -> None:
        """Make the data directory of a server and start the server."""
        say("Making a server with the organization `demo` and the administrator `admin`")
        given = {
            "http.host": "127.0.0.1",
            "http.port": 0,
            "zeromq.host": "127.0.0.1",
            "zeromq.heartbeat_port": 0,
            "zeromq.command_port": 0,
            "heartbeat_interval": 1,
        }
        words = [word for name in given for word in ("--set", f"{name}={given[name]}")]
        key = str(self.folder / "admin.pem")
        whom = ["--org", "demo", "--admin", "admin", "--admin-key", key, "--host", "127.0.0.1"]
        self._server("init", *whom, *words)
        say("Starting the server")
        self._start("server", ["push-jobs-server", "--data-dir", str(self.data), "run"])
        addresses = self.data / "run" / "addresses.json"
        self._wait("the server to listen", addresses.exists)
        address = json.loads(addresses.read_text())["http"]
        self.url = f"{address}/organizations/demo"
        say(f"  it listens at {address}")

    def start_agent(self, node: str) -> None:
        """Register a node and start its agent."""
        folder = self.folder / node
        folder.mkdir()
        say(f"Registering the node {node} and starting its agent")
        self._server("client", "create", node, "--key-out", str(folder / "client.pem"))
        (folder / "whitelist.json").write_text(json.dumps(WHITELIST, indent=2) + "\n")
        settings = {
            "chef_server_url": self.url,
            "node_name": node,
            "client_key": "client.pem",
            "ca_file": str(self.data / "ca.crt"),
            "whitelist": "whitelist.json",
            "state_dir": "state",
            "drain_timeout": 2,
        }
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        (folder / "settings.yml").write_text("".join(lines))
        self._start(node, ["pushy-client", "-c", str(folder / "settings.yml")])

    def wait_for_nodes(self) -> None:
        """Wait until every node can take a job."""
        say("Waiting until all three nodes are available")
        self._wait("the nodes to be available", lambda: self._available() == len(NODES))

    def run_job(self) -> int:
        """Start the job with our command line, and let it show everything; its exit code."""
        words = ["push-jobs", "job", "start", "hello", *NODES, "--capture"]
        say(f"Starting a job on all three:\n\n$ {shlex.join(words)}")
        return subprocess.run([BIN / words[0], *words[1:]], env=self._environment()).returncode

    def exports(self) -> Dict[str, str]:
        """The variables with which `push-jobs` finds this server."""
        return {
            "PATH": f"{BIN}:$PATH",
            "PUSHJOBS_SERVER": self.url,
            "PUSHJOBS_USER": "admin",
            "PUSHJOBS_KEY": str(self.folder / "admin.pem"),
            "PUSHJOBS_CA": str(self.data / "ca.crt"),
        }

    def watch(self) -> NoReturn:
        """Look after the processes until the demo is interrupted."""
        while True:
            self._check()
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop every process that was started, and those that the agents started."""
        agents = [self._processes[name] for name in NODES if name in self._processes]
        end(agents)
        end([process for process in self._processes.values() if process not in agents])
        # A runner outlives its session while a job runs; INT ends both.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            for pid in self._left_over():
                send(pid, number)
            if settled(lambda: not self._left_over(), 1.0 if number == signal.SIGKILL else 5.0):
                return

    def last_lines(self) -> str:
        """The ends of all logs."""
        texts = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="backslashreplace").splitlines()[-15:]
            texts.append(f"--- last lines of {log.name}\n" + "\n".join(lines))
        return "\n".join(texts)

    def _server(self, *words: str) -> None:
        command = [str(BIN / "push-jobs-server"), "--data-dir", str(self.data), *words]
        done = subprocess.run(
            command,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            output = done.stdout.decode(errors="backslashreplace")
            raise DemoError(f"`push-jobs-server {words[0]}` failed:\n{output}")

    def _start(self, name: str, words: List[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which stops things in order.
            self._processes[name] = subprocess.Popen(
                [BIN / words[0], *words[1:]],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> Dict[str, str]:
        ours = ("PUSHJOBS_", "XDG_CONFIG_HOME")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        config = {"XDG_CONFIG_HOME": str(self.folder)}
        return {
            **kept,
            **config,
            **(self.exports() if self.url else {}),
            "PATH": os.environ["PATH"],
        }

    def _available(self) -> int:
        found = subprocess.run(
            [BIN / "push-jobs", "node", "list", "--format", "jsonl"],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        nodes = [json.loads(line) for line in found.stdout.splitlines()]
        return sum(node["available"] for node in nodes)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        if not settled(condition, PATIENCE, self._check):
            raise DemoError(f"waited {PATIENCE:.0f} seconds for {what}, in vain")

    def _check(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DemoError(f"{name} ended by itself with exit code {process.returncode}")

    def _left_over(self) -> List[int]:
        """Runners and their jobs: processes whose command line names this folder."""
        mark = f"--state-dir={self.folder}/".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass  # it has just ended
        return found


def say(text: str) -> None:
    """Tell what happens."""
    print(text, flush=True)


def settled(
    condition: Callable[[], bool], seconds: float, meanwhile: Optional[Callable[[], None]] = None
) -> bool:
    """Look again and again until something is so; False when it never was."""
    deadline = time.monotonic() + seconds
    while not condition():
        if meanwhile is not None:
            meanwhile()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(processes: List["subprocess.Popen[bytes]"]) -> None:
    """Stop processes politely, and after ten seconds not so politely."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 10
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def interrupt(*_: object) -> NoReturn:
    """What every signal that ends the demo does."""
    raise KeyboardInterrupt


def play(demo: Demo, stay: bool) -> int:
    """Run the demo; its exit code."""
    demo.start_server()
    for node in NODES:
        demo.start_agent(node)
    demo.wait_for_nodes()
    code = demo.run_job()
    if code:
        raise DemoError(f"the job did not succeed on all three nodes: push-jobs exited with {code}")
    demo.succeeded = True
    say("\nThe job succeeded on all three nodes.")
    if stay:
        say(next_steps(demo))
        demo.watch()
    return 0


def next_steps(demo: Demo) -> str:
    """What to try while the demo runs."""
    exports = "\n".join(f'  export {name}="{text}"' for name, text in demo.exports().items())
    return f"""
Everything runs on. To try more, open another terminal and paste:

{exports}

  push-jobs node list
  push-jobs job start memory web1 --capture
  push-jobs job start fails web1 db1 --capture; echo "exit code $?"
  push-jobs job start 'wait 30' web2 --detach
  push-jobs job list

What nodes may run is in {demo.folder}/NODE/whitelist.json; logs are in {demo.folder}/*.log.
The demo ends when its server or one of its agents ends.
Ctrl-C stops everything and removes the folder."""


def main() -> int:
    """Run the demo in a temporary folder that is removed at the end."""
    stay = "--exit" not in sys.argv[1:] and sys.stdin.isatty() and sys.stdout.isatty()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="push-jobs-demo-"))
    demo = Demo(folder)
    try:
        return play(demo, stay)
    except (DemoError, OSError) as error:
        print(f"\nerror: {error}\n{demo.last_lines()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if demo.succeeded else 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        say("\nStopping everything and removing the temporary folder")
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

"""A real agent, session and runner, as processes; cleaned up whatever a test does to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional

import psutil
from cryptography.hazmat.primitives.asymmetric import rsa
from raw_server import PATIENCE
from stub_certificates import pem_of, write_private
from waiting import wait_until


class AgentProcess:
    """One node with its files. ``start`` may be called again after the session has ended.

    Args:
        folder: an empty folder of its own.
        url: the server's address.
        ca_file: what the agent trusts.
        key: the node's private key.
        whitelist: what may run.
        settings: more lines of the settings file.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        ca_file: Optional[Path],
        key: rsa.RSAPrivateKey,
        whitelist: Dict[str, Any],
        **settings: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.state_dir = folder / "state"
        self.whitelist = folder / "whitelist.json"
        self.log_file = folder / "agent.log"
        self.settings_file = folder / "agent.yml"
        self.session: Optional["subprocess.Popen[bytes]"] = None
        self.write_whitelist(whitelist)
        write_private(folder / "web1.pem", pem_of(key))
        self._settings = {
            "chef_server_url": url,
            "node_name": "web1",
            "client_key": str(folder / "web1.pem"),
            "ca_file": None if ca_file is None else str(ca_file),
            "whitelist": str(self.whitelist),
            "state_dir": str(self.state_dir),
            "log_format": "json",
            "log_level": "debug",
            "abort_grace": 0.5,
            **settings,
        }
        self.write_settings()

    def write_settings(self, **changes: Any) -> None:
        """Write the settings file again, with other lines than those at the start."""
        self.settings_file.write_text(json.dumps({**self._settings, **changes}))

    def write_whitelist(self, entries: Any) -> None:
        """Replace the whitelist."""
        self.whitelist.write_text(entries if isinstance(entries, str) else json.dumps(entries))

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        """Start the session, which starts a runner when there is none."""
        command = [sys.executable, "-m", "push_jobs_agent", "-c", str(self.settings_file)]
        with self.log_file.open("ab") as log:
            self.session = subprocess.Popen(
                [*command, *arguments], stdin=stdin, stdout=log, stderr=log
            )

    def signal(self, number: int) -> None:
        """Send a signal to the session."""
        assert self.session is not None
        self.session.send_signal(number)

    def kill_session(self) -> None:
        """kill -9 for the session alone."""
        self.signal(signal.SIGKILL)
        assert self.session is not None
        self.session.wait()

    def exit_code(self) -> int:
        """Wait for the end of the session."""
        assert self.session is not None
        return self.session.wait(PATIENCE)

    def lines(self, event: str = "") -> List[Dict[str, Any]]:
        """All log lines so far, or those about one event."""
        text = self.log_file.read_text() if self.log_file.exists() else ""
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if event in ("", line["event"])]

    def wait_for_line(self, event: str, count: int = 1) -> Dict[str, Any]:
        """The newest of at least so many log lines about an event."""
        wait_until(lambda: len(self.lines(event)) >= count, f"{event} in {self.log_file}")
        return self.lines(event)[-1]

    @property
    def runner_pid(self) -> int:
        """The runner that answered last."""
        return int(self.wait_for_line("the runner is there")["runner_pid"])

    def spooled(self) -> List[str]:
        """The ids in the spool."""
        folder = self.state_dir / "spool"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def close(self) -> None:
        """Leave nothing behind."""
        close_agents([self])


def close_agents(agents: Collection[AgentProcess]) -> None:
    """The same for several, with one look at all processes."""
    for agent in agents:
        if agent.session is not None and agent.session.poll() is None:
            agent.kill_session()
    theirs = {f"--state-dir={agent.state_dir}" for agent in agents}
    for runner in psutil.process_iter():
        try:
            if not theirs.isdisjoint(runner.cmdline()):
                _kill(*runner.children(recursive=True), runner)
        except psutil.NoSuchProcess:
            pass


def _kill(*processes: psutil.Process) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass

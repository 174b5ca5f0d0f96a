"""Starts the helper that gets settings from the server; takes its answer without waiting.

The helper is a process of its own (``bootstrap``), so what it loads is gone when it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Dict, Mapping, Optional

from push_jobs_agent.config import Config

PATIENCE = 30.0
"""Seconds for one helper: a server that sends its answer byte by byte must not hold us."""

COMMAND = [sys.executable, "-I", "-m", "push_jobs_agent.bootstrap"]

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


class Fetcher:
    """Runs at most one helper at a time.

    Args:
        config: the settings; a reload replaces them, which the next helper notices.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._answer = bytearray()
        self._until = 0.0

    @property
    def fd(self) -> Optional[int]:
        """The descriptor to wait for while a helper runs."""
        return None if self._process is None else self._pipe()

    def next_call(self) -> Optional[float]:
        """When ``receive`` wants to be called at the latest, in steady seconds."""
        return None if self._process is None else self._until

    def start(self, curve_key: str, steady: float) -> None:
        """Ask for settings; the server will admit this CURVE key. Ends a helper that still runs."""
        self.stop()
        self._answer.clear()
        self._until = steady + PATIENCE
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
        )
        os.set_blocking(self._pipe(), False)
        self._hand_over(self._request(curve_key))

    def receive(self, steady: float) -> Optional[Mapping[str, Any]]:
        """The answer, once it is complete: settings as JSON values, or ``error`` with details."""
        if self._process is None:
            return None
        complete = self._read()
        if not complete and steady < self._until:
            return None
        if not complete:
            self.stop()
            return _failure(f"the server gave no settings within {PATIENCE:.0f} s")
        self.stop()
        try:
            answer = json.loads(self._answer)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            return _failure("the helper that fetches settings broke down")
        return answer

    def stop(self) -> None:
        """End the helper, if one runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _pipe(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.fileno()

    def _hand_over(self, request: Dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                pipe.write(json.dumps(request).encode("ascii"))
        except OSError:
            pass  # it died at once; reading its answer tells so

    def _read(self) -> bool:
        try:
            while True:
                data = os.read(self._pipe(), 65536)
                if not data:
                    return True
                self._answer += data
        except BlockingIOError:
            return False

    def _request(self, curve_key: str) -> Dict[str, Any]:
        config = self.config
        return {
            "server_url": config["chef_server_url"],
            "organization": config.organization,
            "node": config.node_name,
            "client_key": config["client_key"],
            "curve_key": curve_key,
            "ca_file": config["ca_file"],
            "trusted_certs_dir": config["trusted_certs_dir"],
        }

    def _environment(self) -> Dict[str, str]:
        given = {name: self.config[name] for name in _PROXIES}
        return dict(os.environ, **{name: value for name, value in given.items() if value})


def _failure(text: str) -> Dict[str, Any]:
    return {"error": text, "status": 0, "lasting": False}

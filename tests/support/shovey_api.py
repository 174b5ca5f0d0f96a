"""A user of the Shovey API of a server, over HTTPS and signed, as an operator's script is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Dict, Optional

import requests
from outside import wait_long

from push_jobs_wire import chef_auth

_ENDED = ("succeeded", "failed", "invalid", "nacked", "cancelled", "down")


class ShoveyApi:
    """Requests of one user.

    Args:
        url: root of the server.
        user: who signs.
        key: file with the private key.
        ca: file with the certificates to trust.
    """

    def __init__(self, url: str, user: str, key: Path, ca: Path) -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._key = chef_auth.load_private_key(key.read_bytes())
        self._ca = str(ca)

    def call(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        """The answer to a request that has to succeed."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = chef_auth.sign(
            method=method,
            target=path,
            body=raw,
            user_id=self._user,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._key,
        )
        reply = requests.request(
            method, self._url + path, headers=headers, data=raw, verify=self._ca, timeout=30
        )
        assert reply.status_code == 200, (method, path, reply.status_code, reply.text)
        return reply.json()

    def status(self, node: str) -> str:
        """What the server says of a node: up, down, or that it has never heard of it."""
        found: str = self.call("GET", f"/status/node/{node}/latest")["status"]
        return found

    def wait_up(self, *nodes: str) -> None:
        """Wait until the heartbeats of nodes have come."""
        for node in nodes:
            wait_long(lambda node=node: self._is_up(node), f"{node} to be up")

    def _is_up(self, node: str) -> bool:
        known = [each["node_name"] for each in self.call("GET", "/status/all/nodes")]
        return node in known and self.status(node) == "up"

    def run(self, command: str, node: str) -> Dict[str, Any]:
        """Start a job on a node; what is known of it there once it has ended."""
        job = self.call("POST", "/shovey/jobs", {"command": command, "nodes": [node]})["id"]

        def ended() -> Optional[Dict[str, Any]]:
            run: Dict[str, Any] = self.call("GET", f"/shovey/jobs/{job}/{node}")
            return run if run["status"] in _ENDED else None

        run: Dict[str, Any] = wait_long(ended, f"the end of {command} on {node}")
        return {**run, **{kind: self._output(job, node, kind) for kind in ("stdout", "stderr")}}

    def _output(self, job: str, node: str, kind: str) -> str:
        path = f"/shovey/stream/{job}/{node}?sequence=0&output_type={kind}"
        found: str = self.call("GET", path)["output"]
        return found

"""A real goiardi that runs Shovey's jobs through a real Serf agent, and what a test asks of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chef_servers import Goiardi, private_pem
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from serf_cluster import SerfAgent
from waiting import wait_until


class GoiardiShovey(Goiardi):
    """goiardi with Shovey switched on; ``call`` and ``must`` are signed by its administrator.

    It dies when it has a job or a cancel to send after a restart of its Serf agent, and it can't
    use an agent that asks for a key.

    Args:
        folder: an empty folder of its own.
        agent: its Serf agent, which runs.

    Raises Missing where there is no goiardi.
    """

    def __init__(self, folder: Path, agent: SerfAgent) -> None:
        self.agent = agent
        self.signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signing_file = folder / "shovey.pem"
        signing_file.write_bytes(private_pem(self.signing_key))
        signing_file.chmod(0o600)
        super().__init__(
            folder,
            *("--use-serf", f"--serf-addr={agent.rpc_address}"),
            *("--use-shovey", f"--sign-priv-key={signing_file}"),
        )

    @property
    def signing_public_pem(self) -> str:
        """What nodes verify commands with."""
        key = self.signing_key.public_key()
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    def create_node(self, name: str) -> str:
        """Make a client and a node of this name; the client's private key as PEM (PKCS#1)."""
        key = self.create_client(name)
        self.must("POST", "/nodes", {"name": name})
        return private_pem(key).decode("ascii")

    def register(self, name: str, key: rsa.RSAPublicKey) -> None:
        """Make a client and a node of this name, unless they are there, with this public key."""
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        body = {"name": name, "admin": False, "public_key": pem}
        if self.call("GET", f"/clients/{name}").status == 404:
            self.must("POST", "/clients", body)
            self.must("POST", "/nodes", {"name": name})
        else:
            self.must("PUT", f"/clients/{name}", body)

    def job(self, job: str) -> Any:
        """A job as it is shown."""
        return self.must("GET", f"/shovey/jobs/{job}")

    def status(self, node: str) -> str:
        """The latest status of a node: ``new``, ``up`` or ``down``."""
        return str(self.must("GET", f"/status/node/{node}/latest")["status"])

    def wait_up(self, *nodes: str, patience: float = 60.0) -> None:
        """Wait until it takes these nodes for up."""
        for node in nodes:
            wait_until(lambda: self.status(node) == "up", f"{node} to be up", patience)

    def beat(self, node: str, status: str = "up") -> None:
        """Tell it the status of a node, as a node's heartbeat does, and see that it is recorded."""
        self.agent.query("node_status", json.dumps({"node": node, "status": status}), timeout="1s")
        wait_until(lambda: self.status(node) == status, f"{node} to be {status}")

    def start_job(self, command: str, *nodes: str, run_timeout: int = 300) -> str:
        """Start a job on nodes that are up; its id."""
        body = {"command": command, "nodes": list(nodes), "run_timeout": run_timeout}
        return str(self.must("POST", "/shovey/jobs", body)["id"])

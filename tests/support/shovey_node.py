"""A node of a real goiardi: a Serf agent of its name and our agent beside it, as processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from agent_process import AgentProcess
from cryptography.hazmat.primitives.asymmetric import rsa
from goiardi_shovey import GoiardiShovey
from serf_cluster import SerfCluster
from stub_certificates import pem_of, write_private
from waiting import wait_until

from push_jobs_wire import chef_auth, shovey

ENDED = ("succeeded", "failed", "invalid", "nacked", "cancelled")


class ShoveyNode(AgentProcess):
    """One node. It is not started.

    Args:
        folder: an empty folder of its own.
        server: what has a client and a node of its name from now on.
        cluster: where its Serf agent joins.
        name: of the node.
        whitelist: what may run.
        settings: more lines of the settings file.
    """

    def __init__(
        self,
        folder: Path,
        server: GoiardiShovey,
        cluster: SerfCluster,
        name: str,
        whitelist: Dict[str, Any],
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True)
        self.name = name
        self.server = server
        key = settings.get("serf_auth_key")
        self.serf = cluster.add(name, **({} if key is None else {"rpc_auth": key}))
        private = chef_auth.load_private_key(server.create_node(name).encode("ascii"))
        public = folder / "shovey.pub"
        public.write_text(server.signing_public_pem)
        own: Dict[str, Any] = {
            "chef_server_url": None,
            "node_name": name,
            "shovey_url": server.url,
            "serf_addr": self.serf.rpc_address,
            "sign_pub_key": str(public),
        }
        super().__init__(folder, "", None, private, whitelist, **{**own, **settings})

    def up(self) -> None:
        """Start it and wait until the server takes it for up."""
        self.start()
        self.server.wait_up(self.name)

    def run(self, job: str) -> Dict[str, Any]:
        """What the server knows of this node's part in a job."""
        found: Dict[str, Any] = self.server.must("GET", f"/shovey/jobs/{job}/{self.name}")
        return found

    def ended(self, job: str) -> Dict[str, Any]:
        """The same once this node's part has ended."""
        wait_until(lambda: self.run(job)["status"] in ENDED, f"the end of {job}")
        return self.run(job)

    def result(self, command: str, run_timeout: int = 300) -> Dict[str, Any]:
        """Run a job on this node alone and wait for its end."""
        return self.ended(self.server.start_job(command, self.name, run_timeout=run_timeout))

    def stream(self, job: str, output_type: str = "stdout") -> Dict[str, Any]:
        """The output of this node as the server streams it."""
        path = f"/shovey/stream/{job}/{self.name}?sequence=0&output_type={output_type}"
        found: Dict[str, Any] = self.server.must("GET", path)
        return found

    def settled(self) -> bool:
        """True when nothing is left of any job on the disk."""
        return not self.journal() and not self.spooled()

    def journal(self) -> List[str]:
        """The ids of the jobs that are written down."""
        folder = self.state_dir / "serf" / "runs"
        return sorted(path.stem for path in folder.glob("*.json")) if folder.exists() else []

    def use_key(self, key: rsa.RSAPrivateKey) -> None:
        """From its next start on be known by another key."""
        write_private(self.folder / "web1.pem", pem_of(key))

    def print_log(self) -> None:
        """Print the end of its log, which pytest shows when a test fails."""
        print(self.log_file.read_text()[-20000:] if self.log_file.exists() else "no log")


def sh(script: str) -> Dict[str, Any]:
    """A whitelist entry that runs a script."""
    return {"command_line": script, "shell": True}


def waits_for(path: Path, more: str = "") -> str:
    """A script that waits until a file is there."""
    return f"while [ ! -e {path} ]; do sleep 0.02; done; {more}"


def shovey_id(job: str) -> str:
    """The id of a job in journal and spool."""
    found = shovey.job_id_of(job)
    assert found is not None, job
    return found

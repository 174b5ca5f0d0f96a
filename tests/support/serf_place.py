"""Our server over real Serf with scripted schobs, and what a test asks of it over HTTPS."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import requests
from api_desk import key_of, public_pem
from chef_servers import Said
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from house import ADMIN, ORG, House, open_house
from peer import free_port
from raw_server import PATIENCE
from schob import Node, Schob
from serf_cluster import SerfAgent, SerfCluster
from shovey_fixtures import open_serf
from waiting import wait_until

from push_jobs_server import settings as server_settings
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.store import Store
from push_jobs_wire import chef_auth

JOBS = "/shovey/jobs"
WHITELIST = {
    "ls": "echo hello world",
    "both": "sh -c echo${IFS}out;echo${IFS}careful>&2",
    "fail": "false",
    "broken": "no-such-program-here",
    "sleep": "sleep 60",
    "long": "seq 1 1500",
}
"""Lines are split at spaces, without quotes: the shell of ``both`` gets a single word."""

_ATTEMPTS = 5
_GOSSIP = 4.0
"""Seconds in which a query has reached a node, or never will."""


class SerfPlace:
    """A server with its own Serf agent, and nodes.

    Args:
        house: the server, which runs.
        cluster: of its agent and those of the nodes.
        agent: the server's.
    """

    def __init__(self, house: House, cluster: SerfCluster, agent: SerfAgent) -> None:
        self.house = house
        self.cluster = cluster
        self.agent = agent
        self.schobs: Dict[str, Schob] = {}
        self.server_key: RSAPublicKey = chef_auth.load_public_key(house.admin("serf-key").out)
        self._admin_key = chef_auth.load_private_key(house.key_file.read_bytes())
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        """End the nodes."""
        for schob in self.schobs.values():
            schob.close()
        self._session.close()

    # Nodes

    def register(self, *names: str, owner: Optional[str] = None) -> None:
        """Make clients whose key is ``key_of`` their name, or of the one ``owner``."""
        store = Store(server_settings.load(self.house.data)["database.url"])
        try:
            identity = LocalIdentity(store)
            for name in names:
                identity.create_client(ORG, name, public_pem(owner or name))
        finally:
            store.close()

    def add(self, name: str, **more: Any) -> Schob:
        """A node with an agent and a schob that is up."""
        self.register(name)
        schob = self.start_schob(self.cluster.add(name), key_of(name), **more)
        self.make_up(name)
        return schob

    def add_many(self, names: List[str], **more: Any) -> None:
        """The same for several, which all have one key."""
        self.register(*names, owner="crowd")
        for agent in self.cluster.add_many(names):
            self.start_schob(agent, key_of("crowd"), **more)
        self.make_up(*names)

    def add_agents(
        self, names: List[str], whitelist: Callable[[str], Dict[str, Any]], **settings: Any
    ) -> None:
        """Nodes that are up with agents of ours, which all have one key; each its own whitelist."""
        self.register(*names, owner="crowd")
        for agent in self.cluster.add_many(names):
            own = {**over_serf(self.house, agent), **settings}
            self.house.add_agent(agent.name, whitelist(agent.name), key_of("crowd"), **own)
        wait_until(lambda: set(names) <= self.up(), "all nodes to be up", 120.0)

    def start_schob(self, agent: SerfAgent, key: RSAPrivateKey, **more: Any) -> Schob:
        """Start the schob of an agent."""
        given: Dict[str, Any] = {"whitelist": WHITELIST, "auth_key": agent.auth_key, **more}
        address, url = agent.rpc_address, self.house.address
        schob = Schob(Node(agent.name, address, url, key, self.server_key, **given))
        self.schobs[agent.name] = schob
        schob.start()
        wait_until(lambda: schob.ready, f"the schob of {agent.name} to hear of commands")
        return schob

    def make_up(self, *names: str) -> None:
        """Let heartbeats be sent until these nodes are up."""
        for name in names:
            self.schobs[name].beat()
        asked = time.monotonic()
        while not self._all_up(names, asked + 5.0):
            for name in set(names) - self.up():
                self.schobs[name].beat()
            asked = time.monotonic()

    def _all_up(self, names: Tuple[str, ...], until: float) -> bool:
        """Wait until all are up or that time has come, for a heartbeat may get lost."""
        wait_until(lambda: set(names) <= self.up() or time.monotonic() > until, f"{names} to be up")
        return set(names) <= self.up()

    def up(self) -> "set[str]":
        """The nodes that the server takes for up."""
        nodes = self.must("GET", "/status/all/nodes")
        return {each["node_name"] for each in nodes if each["status"] == "up"}

    # Requests

    def call(self, method: str, path: str, body: Any = None, user: str = ADMIN) -> Said:
        """A signed request of the administrator, or of a node with a key of its own."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = chef_auth.sign(
            method=method,
            target=path,
            body=content,
            user_id=user,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._admin_key if user == ADMIN else key_of(user),
        )
        answer = self._session.request(
            method,
            self.house.address + path,
            data=content,
            headers={**headers, "Accept": "application/json"},
            timeout=PATIENCE,
            verify=str(self.house.data / "ca.crt"),
        )
        return Said(answer.status_code, answer.json() if answer.content else None)

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """A request that has to succeed; its JSON."""
        said = self.call(method, path, body)
        assert said.status == 200, (method, path, said)
        return said.json

    def post(self, command: str, *nodes: str, **more: Any) -> Said:
        """Ask for a job; never twice with the same signature, which would be the same job."""
        body = {"command": command, "nodes": list(nodes), "request": str(uuid.uuid4())}
        return self.call("POST", JOBS, {**body, **more})

    def start_once(self, command: str, *nodes: str, **more: Any) -> str:
        """Start a job; its id. Serf may lose the command of a node on its way."""
        said = self.post(command, *nodes, **more)
        assert said.status == 200, said
        return str(said.json["id"])

    def start(self, command: str, *nodes: str, **more: Any) -> str:
        """Start a job that reaches all nodes with a schob, if need be after some that did not."""
        for _ in range(_ATTEMPTS):
            job = self.start_once(command, *nodes, **more)
            until = time.monotonic() + _GOSSIP
            wait_until(lambda: self.reached(job, nodes) or time.monotonic() > until)
            if self.reached(job, nodes):
                return job
            self.cancel(job)
        raise AssertionError(f"{_ATTEMPTS} jobs did not reach all of {nodes}")

    def reached(self, job: str, nodes: Sequence[str]) -> bool:
        """True when those of the nodes that have a schob have heard of a job."""
        return all(self.schobs[name].has_heard(job) for name in nodes if name in self.schobs)

    def job(self, job: str) -> Dict[str, Any]:
        """A job."""
        found: Dict[str, Any] = self.must("GET", f"{JOBS}/{job}")
        return found

    def run(self, job: str, node: str) -> Dict[str, Any]:
        """A node's part."""
        found: Dict[str, Any] = self.must("GET", f"{JOBS}/{job}/{node}")
        return found

    def stream(self, job: str, node: str, query: str = "") -> Dict[str, Any]:
        """A node's output."""
        found: Dict[str, Any] = self.must("GET", f"/shovey/stream/{job}/{node}{query}")
        return found

    def cancel(self, job: str, *nodes: str) -> Dict[str, Any]:
        """Cancel a job, on these nodes or all."""
        body: Dict[str, Any] = {"run_id": job, **({"nodes": list(nodes)} if nodes else {})}
        found: Dict[str, Any] = self.must("PUT", f"{JOBS}/cancel", body)
        return found

    # Waiting

    def wait_run(self, job: str, node: str, *words: str) -> Dict[str, Any]:
        """A node's part once it has one of these states."""
        wait_until(lambda: self.run(job, node)["status"] in words, f"{node} to be {words}")
        return self.run(job, node)

    def wait_job(self, job: str, patience: float = PATIENCE) -> Dict[str, Any]:
        """A job once it has ended."""
        over = ("complete", "cancelled", "job_failed", "quorum_failed")
        wait_until(lambda: self.job(job)["status"] in over, f"{job} to end", patience)
        return self.job(job)

    def wait_output(self, job: str, node: str, patience: float = PATIENCE) -> Dict[str, Any]:
        """The output of a node as soon as there is any."""
        wait_until(lambda: self.stream(job, node)["output"], f"output of {node}", patience)
        return self.stream(job, node)

    def wait_last(self, job: str, node: str, kind: str = "stdout") -> str:
        """The whole output of a node once its last piece is there."""
        query = f"?output_type={kind}"
        wait_until(lambda: self.stream(job, node, query)["is_last"], f"the end of {kind}")
        return str(self.stream(job, node, query)["output"])


def over_serf(house: House, serf: SerfAgent) -> Dict[str, Any]:
    """Settings with which an agent of ours works for a house through a Serf agent."""
    public = house.folder / "shovey.pub"
    if not public.exists():
        public.write_text(house.admin("serf-key").out)
    return {
        "chef_server_url": None,
        "shovey_url": house.address,
        "serf_addr": serf.rpc_address,
        "sign_pub_key": str(public),
    }


@contextmanager
def open_serf_place(
    folder: Path, auth_key: Optional[str] = None, **settings: Any
) -> Iterator[SerfPlace]:
    """A server over Serf without nodes, or the end of the test where Serf is missing."""
    with open_serf(folder / "serf", profile="lan", auth_key=auth_key) as cluster:
        agent = cluster.add("push")
        own: Dict[str, Any] = {"serf.organization": ORG, "serf.address": agent.rpc_address}
        # A server that was given port 0 can't have its port again while old connections linger.
        own["http.port"] = free_port()
        if auth_key is not None:
            own["serf.auth_key"] = auth_key
        (folder / "house").mkdir()
        with open_house(folder / "house", **{**own, **settings}) as house:
            place = SerfPlace(house, cluster, agent)
            try:
                yield place
            finally:
                place.close()

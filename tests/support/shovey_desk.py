"""The Shovey API without sockets: what Serf would bring is told to the engine, orders are kept."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

from api_desk import Desk, Reply, open_desk, public_pem, signed

from push_jobs_server.engine.core import Engine
from push_jobs_server.engine.serf_orders import Order
from push_jobs_server.store.audit import entries as audit_entries

JOBS = "/shovey/jobs"
NODE, OTHER = "n1.local", "n2.local"
SETTINGS = {"serf": {"organization": "acme"}}


class Orders:
    """Takes what would be sent over Serf."""

    def __init__(self) -> None:
        self.taken: List[Order] = []

    def submit(self, order: Order) -> None:
        """See OrderTaker."""
        self.taken.append(order)


class ShoveyDesk:
    """A desk with two nodes; ``alice`` is an administrator, ``bob`` is not."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.orders = Orders()
        desk.engine.orders = self.orders
        if NODE not in self._clients():
            for name in (NODE, OTHER):
                desk.identity.create_client("acme", name, public_pem(name))
        self.tell(lambda engine: setattr(engine.serf, "problem", None))

    def _clients(self) -> List[str]:
        return self.desk.identity.clients("acme") or []

    def tell(self, news: Any) -> None:
        """Run something in the engine's thread, and wait until it is done and stored."""

        def run(engine: Engine, answer: Any) -> None:
            news(engine)
            answer(None)

        self.desk.engine.ask(run)
        self.desk.wait_for_writer()

    def beat(self, node: str = NODE, status: str = "up", extended: bool = False) -> None:
        """A heartbeat of a node came."""
        self.tell(lambda engine: engine.serf.heartbeat(node, status, extended))

    def call(
        self, method: str, path: str, body: Any = None, user: Optional[str] = "alice", **more: Any
    ) -> Reply:
        """A signed request; a body that is not bytes goes as JSON."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        return self.desk.call(method, path, user, body=raw, **more)

    def get(self, path: str) -> Any:
        """The answer to a GET that succeeds."""
        reply = self.call("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    def twice(self, body: Any) -> List[Reply]:
        """The answers to the very same signed start, sent twice."""
        raw = json.dumps(body).encode()
        headers = signed("POST", JOBS, body=raw)
        return [self.desk.send("POST", JOBS, raw, headers) for _ in range(2)]

    def start(self, *nodes: str, **fields: Any) -> str:
        """Start a job that begins to run; returns its id."""
        # Members that mean nothing are left alone, and make this another request than the last.
        distinct = {"request": str(uuid.uuid4())}
        body = {"command": "ls", "nodes": list(nodes or (NODE,)), **fields, **distinct}
        reply = self.call("POST", JOBS, body)
        assert reply.status == 200, reply.body
        return str(reply.json["id"])

    def report(self, job: str, status: str, node: str = NODE, **fields: Any) -> Reply:
        """A node's report about its part."""
        return self.call("PUT", f"{JOBS}/{job}/{node}", {"status": status, **fields}, node)

    def chunk(
        self,
        job: str,
        seq: int,
        output: str,
        stream: str = "stdout",
        is_last: bool = False,
        node: str = NODE,
    ) -> Reply:
        """A node's piece of output."""
        body = {"seq": seq, "output": output, "output_type": stream, "is_last": is_last}
        return self.call("PUT", f"/shovey/stream/{job}/{node}", body, node)

    def run(self, job: str, node: str = NODE) -> Dict[str, Any]:
        """A node's part as it is shown."""
        found: Dict[str, Any] = self.get(f"{JOBS}/{job}/{node}")
        return found

    def audit(self) -> List[Any]:
        """The audit trail, oldest first."""
        return list(audit_entries(self.desk.store))

    def stream(self, job: str, query: str = "", node: str = NODE) -> Dict[str, Any]:
        """A node's output as it is shown."""
        found: Dict[str, Any] = self.get(f"/shovey/stream/{job}/{node}{query}")
        return found


@contextmanager
def open_shovey_desk(url: str, **settings: Any) -> Iterator[ShoveyDesk]:
    """A desk on a store."""
    given: Dict[str, Any] = {**SETTINGS, **settings}
    with open_desk(url, **given) as desk:
        yield ShoveyDesk(desk)

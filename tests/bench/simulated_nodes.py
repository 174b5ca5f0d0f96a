"""Many push job nodes in one process, for benches: real CURVE sockets, nothing behind them.

Reads one JSON object from standard input: ``address`` (of the server's command port),
``server_key`` (CURVE, Z85), ``org``, ``beat`` (seconds between heartbeats) and ``nodes``, a list of
[name, session key as hex, public key, secret key]. It prints a line when all first heartbeats are
sent. Every commit is accepted and every run succeeds.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any, Dict, List, Sequence

import zmq

from push_jobs_wire import framing
from push_jobs_wire.messages import EXTENSIONS, Heartbeat, JobRef, Origin, Reply, encode_node, load
from push_jobs_wire.states import NodeInput

ECHO = b"echo"
"""First frame of a message that is sent back as it is: the floor."""


class SimulatedNode:
    """One node: its socket, and the answers it gives."""

    def __init__(self, context: zmq.Context[Any], plan: Dict[str, Any], node: List[str]) -> None:
        name, secret, public_key, secret_key = node
        self.origin = Origin(plan["org"], name, f"{name}-{os.getpid()}", "bench")
        self.session_key = bytes.fromhex(secret)
        self.sequence = 0
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.curve_serverkey = plan["server_key"].encode("ascii")
        self.socket.curve_publickey = public_key.encode("ascii")
        self.socket.curve_secretkey = secret_key.encode("ascii")
        self.socket.connect(plan["address"])

    def send(self, message: "Heartbeat | Reply") -> None:
        """Sign and send a message."""
        self.sequence += 1
        now = framing.format_timestamp(time.time())
        body = encode_node(self.origin, message, self.sequence, now)
        self.socket.send_multipart([framing.seal_hmac(self.session_key, body), body])

    def answer(self) -> None:
        """Answer everything that has arrived."""
        while True:
            try:
                header, body = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if header == ECHO:
                self.socket.send_multipart([header, body])
            else:
                self._react(load(body))

    def _react(self, fields: Dict[str, Any]) -> None:
        job = JobRef(fields.get("job_id"))
        if fields["type"] == "commit":
            self.send(Reply(NodeInput.ACK_COMMIT, job))
        elif fields["type"] == "run":
            now = time.time()
            self.send(Reply(NodeInput.ACK_RUN, job, started_at=now))
            self.send(
                Reply(NodeInput.SUCCEEDED, job, exit_code=0, started_at=now, ended_at=time.time())
            )


def main() -> None:
    """Serve until standard input is closed."""
    plan = json.loads(sys.stdin.readline())
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, len(plan["nodes"]) + 16)
    nodes = [SimulatedNode(context, plan, node) for node in plan["nodes"]]
    # A poller of zmq looks at every socket each time; with a thousand of them that is what would
    # be measured. Its descriptors tell only changes, so everything is taken until nothing is left.
    by_descriptor = {node.socket.getsockopt(zmq.FD): node for node in nodes}
    poller = select.epoll()
    for descriptor in (*by_descriptor, sys.stdin.fileno()):
        poller.register(descriptor, select.EPOLLIN)
    beat(nodes, Heartbeat(extensions=EXTENSIONS, jobs=()))
    print("ready", flush=True)
    next_beat = time.monotonic() + plan["beat"]
    while True:
        for descriptor, _ in poller.poll(max(0.0, next_beat - time.monotonic())):
            if descriptor not in by_descriptor:
                context.destroy(linger=0)
                return
            by_descriptor[descriptor].answer()
        if time.monotonic() >= next_beat:
            next_beat += plan["beat"]
            beat(nodes, Heartbeat(extensions=EXTENSIONS))


def beat(nodes: Sequence[SimulatedNode], message: Heartbeat) -> None:
    """Send a heartbeat of every node."""
    for node in nodes:
        node.send(message)
        node.answer()


if __name__ == "__main__":
    main()

"""A node that is connected to a desk's engine through the transport in memory."""

from __future__ import annotations

import base64
import json
import time
from typing import List, Union
from urllib.parse import quote

import zmq
from api_desk import Desk, key_of, public_pem
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from push_jobs_wire.framing import format_timestamp, seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Origin, Reply, encode_node
from push_jobs_wire.states import AgentState, NodeInput


class MemoryNode:
    """An old agent: it fetches its settings as any node does, and says what the test wants."""

    def __init__(self, desk: Desk, name: str, org: str = "acme") -> None:
        self._origin = Origin(org, name, "one")
        self._sequence = 0
        if name not in desk.identity.clients(org):
            desk.identity.create_client(org, name, public_pem(name))
        curve_key = quote(zmq.curve_keypair()[0].decode("ascii"), safe="")
        target = f"/organizations/{org}/pushy/config/{name}?ccpk={curve_key}"
        sealed = desk.get(target, name).json["encoded_session_key"]["key"]
        self._secret = key_of(name).decrypt(base64.b64decode(sealed), PKCS1v15())
        self.peer = desk.transport.connect(f"{org}/{name}")

    def beat(self) -> None:
        """Say that it is idle."""
        self.say(Heartbeat(AgentState.IDLE, JobRef(None)))

    def become_available(self) -> None:
        """Come online and confirm that nothing is running."""
        self.beat()
        self.reply(NodeInput.ABORTED, None)

    def reply(self, kind: NodeInput, job: "str | None") -> None:
        """Answer the server."""
        self.say(Reply(kind, JobRef(job)))

    def heard(self) -> List[str]:
        """The types of all messages from the server so far."""
        return [json.loads(body)["type"] for _, body in list(self.peer.inbox)]

    def say(self, message: Union[Heartbeat, Reply]) -> None:
        """Send a signed message."""
        self._sequence += 1
        body = encode_node(self._origin, message, self._sequence, format_timestamp(time.time()))
        self.peer.send([seal_hmac(self._secret, body), body])

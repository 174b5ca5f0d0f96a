"""An old push client that a test speaks for, joined to a real server as a Ruby client would be.

It does what pushy-protocol tells of release 3.0.13 and knows none of our extensions.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import quote, urlsplit

import zmq
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from house import ORG, House
from raw_server import PATIENCE

from push_jobs_wire import chef_auth, framing


class OldClient:
    """One node. ``settings`` are as they came from the server."""

    def __init__(self, house: House, name: str) -> None:
        self.name = name
        self._house = house
        self._key: RSAPrivateKey = house.new_key(name)
        self._context = zmq.Context()
        self._public, self._secret = zmq.curve_keypair()
        self._sequence = 0
        self._command: "Optional[zmq.Socket[bytes]]" = None
        self._session_key = b""
        self.settings: Dict[str, Any] = {}

    def fetch(self) -> None:
        """Get settings, as the client does before it connects."""
        target = f"/organizations/{ORG}/pushy/config/{self.name}"
        target += f"?ccpk={quote(self._public.decode(), safe='')}&version=2.0"
        signed = chef_auth.sign(
            method="GET",
            target=target,
            body=b"",
            user_id=self.name,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._key,
            version="1.1",
        )
        url = urlsplit(self._house.address)
        tls = ssl.create_default_context(cafile=str(self._house.data / "ca.crt"))
        assert url.hostname is not None
        connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=PATIENCE, context=tls
        )
        connection.request("GET", target, headers={"Accept": "application/json", **signed})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Type")) == (200, "application/json")
        self.settings = json.loads(answer.read())
        connection.close()
        sealed = base64.b64decode(self.settings["encoded_session_key"]["key"])
        self._session_key = self._key.decrypt(sealed, PKCS1v15())

    def listen(self) -> "zmq.Socket[bytes]":
        """A connection to the heartbeats, in clear; the caller closes it."""
        socket = self._context.socket(zmq.SUB)
        socket.subscribe(b"")
        socket.connect(self.settings["push_jobs"]["heartbeat"]["out_addr"])
        return socket

    def connect(self) -> None:
        """Open a new connection for commands and wait until it is there."""
        if self._command is not None:
            self._command.close(linger=0)
        self._command = socket = self._context.socket(zmq.DEALER)
        socket.curve_publickey, socket.curve_secretkey = self._public, self._secret
        socket.curve_serverkey = self.settings["curve_public_key"].encode()
        events = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(self.settings["push_jobs"]["heartbeat"]["command_addr"])
        assert events.poll(int(PATIENCE * 1000)), "no connection"
        socket.disable_monitor()
        events.close(linger=0)
        self._sequence = 0

    def say(self, kind: str, job_id: Optional[str] = None, **fields: Any) -> None:
        """Send a signed message."""
        self._sequence += 1
        body = {
            "node": self.name,
            "client": "old.example.test",
            "org": ORG,
            "type": kind,
            "timestamp": framing.format_timestamp(time.time()),
            "incarnation_id": f"incarnation-of-{self.name}",
            "job_id": job_id,
            "sequence": self._sequence,
            **fields,
        }
        encoded = json.dumps(body).encode()
        assert self._command is not None
        self._command.send_multipart([framing.seal_hmac(self._session_key, encoded), encoded])

    def beat(self, job_id: Optional[str] = None, state: str = "idle") -> None:
        """Send a heartbeat."""
        self.say("heartbeat", job_id, job_state=state)

    def hear(self, seconds: float = PATIENCE) -> Dict[str, Any]:
        """The next message, which has two frames and a good signature."""
        assert self._command is not None
        assert self._command.poll(int(seconds * 1000)), "the server is silent"
        header, body = self._command.recv_multipart()
        framing.check_hmac(self._session_key, framing.parse_header(header), body)
        return dict(json.loads(body))

    def hear_types(self, count: int) -> List[str]:
        """The types of the next messages."""
        return [str(self.hear()["type"]) for _ in range(count)]

    def join(self) -> None:
        """From nothing to a node that takes jobs."""
        self.fetch()
        self.connect()
        self.beat()
        assert self.hear()["type"] == "abort"
        self.say("aborted")
        self._house.wait_available(self.name)

    def run(self, job_id: str) -> None:
        """Accept a job that was started, and start it."""
        commit = self.hear()
        assert (commit["type"], commit["job_id"]) == ("commit", job_id)
        self.say("ack_commit", job_id)
        assert self.hear()["type"] == "run"
        self.say("ack_run", job_id)

    def numbers(self) -> Tuple[int, int]:
        """Modulus and exponent of the server's key."""
        key = load_pem_public_key(self.settings["public_key"].encode())
        assert isinstance(key, RSAPublicKey)
        return key.public_numbers().n, key.public_numbers().e

    def close(self) -> None:
        """Hang up."""
        self._context.destroy(linger=0)

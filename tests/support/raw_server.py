"""A small push jobs server of raw sockets, for tests of the agent as a process.

It gives settings over HTTPS (signatures are verified), admits CURVE keys that asked for settings,
and signs, numbers and checks messages. It decides nothing: the test says each message. Everything
but HTTPS happens in the test's own thread, while it waits in ``expect`` or ``until``.
"""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from collections import deque
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Type
from urllib.parse import parse_qs, urlsplit

import zmq
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from stub_certificates import tls_context

from push_jobs_wire import chef_auth, framing, messages
from push_jobs_wire.messages import (
    Ack,
    Confirm,
    Heartbeat,
    Output,
    OutputAck,
    Reply,
    ServerHeartbeat,
    ServerMessage,
)

PATIENCE = 20.0
"""Seconds until a test gives up waiting for the agent."""


@lru_cache(maxsize=None)
def key_of(owner: str) -> rsa.RSAPrivateKey:
    """A private key for this owner, the same in one run of the tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class RawServer:
    """The server. ``heard`` are the bodies of all good messages that no test has taken yet.

    Output that comes in pieces is put together and shown in the outcome, as old agents send it.

    Args:
        folder: where its certificates are written.
        extensions: what it says about our extensions; 0 for an old server.
        interval: seconds between heartbeats.
    """

    def __init__(self, folder: Path, extensions: int = 1, interval: float = 0.5) -> None:
        self.extensions = extensions
        self.interval = interval
        self.ca_file = folder / "ca.pem"
        self.session_key = bytes(range(32))
        self.incarnation_id = "server-1"
        self.changes: Dict[str, Any] = {}
        self.refusal: Optional["tuple[int, str]"] = None
        self.gets: List[str] = []
        self.admitting = True
        self.confirming = True
        self.heard: Deque[Dict[str, Any]] = deque()
        self.bad: List[str] = []
        self._printed: Dict["tuple[str, str]", bytearray] = {}
        self.identity = b""
        self._admitted: Set[bytes] = set()
        self._sequence = 0
        self._next_beat = 0.0
        self._context = zmq.Context()
        self._public, self._secret = zmq.curve_keypair()
        self._zap = self._bind(zmq.REP, "inproc://zeromq.zap.01")
        self._broadcast = self._bind(zmq.PUB, "tcp://127.0.0.1:*")
        self._command: "zmq.Socket[bytes]"
        self.open_command("tcp://127.0.0.1:*")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        tls = tls_context(folder)
        self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address for the agent's settings."""
        return f"https://localhost:{self._http.server_address[1]}/organizations/acme"

    def close(self) -> None:
        """Close everything."""
        self._http.shutdown()
        self._http.server_close()
        for socket in (self._command, self._broadcast, self._zap):
            socket.close(0)
        self._context.term()

    # Sockets

    def open_command(self, address: str) -> None:
        """Listen for commands, at first or again."""
        self._command = self._context.socket(zmq.ROUTER)
        self._command.setsockopt(zmq.LINGER, 0)
        self._command.setsockopt(zmq.CURVE_SERVER, 1)
        self._command.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        self._command.bind(address)
        self.command_addr = self._command.getsockopt_string(zmq.LAST_ENDPOINT)

    def close_command(self) -> None:
        """Stop listening for commands; all connections break."""
        self._command.close(0)

    def _bind(self, kind: int, address: str) -> "zmq.Socket[bytes]":
        socket: "zmq.Socket[bytes]" = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(address)
        return socket

    def admit(self, curve_key: str) -> None:
        """Let this CURVE key (Z85) connect; a GET of settings does so too."""
        self._admitted.add(_z85_decode(curve_key))

    # What the test says

    def say(self, message: ServerMessage) -> None:
        """Send a signed command to the agent that spoke last."""
        body = self._body(message)
        self.say_raw(framing.seal_hmac(self.session_key, body), body)

    def say_raw(self, *frames: bytes) -> None:
        """Send any frames to the agent that spoke last."""
        self._command.send_multipart((self.identity, *frames))

    def broadcast_raw(self, *frames: bytes) -> None:
        """Broadcast any frames."""
        self._broadcast.send_multipart(frames)

    def _body(self, message: ServerMessage) -> bytes:
        self._sequence += 1
        stamp = framing.format_timestamp(time.time())
        return messages.encode_server(message, self._sequence, stamp)

    # What the test waits for

    def expect(self, kind: str, **fields: Any) -> Dict[str, Any]:
        """The next message of this type with these fields; earlier ones are thrown away."""
        found: List[Dict[str, Any]] = []

        def here() -> bool:
            while self.heard and not found:
                body = self.heard.popleft()
                if body["type"] == kind and fields.items() <= body.items():
                    found.append(body)
            return bool(found)

        self.until(here, f"{kind} with {fields}")
        return found[0]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on serving until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for: {what}; bad: {self.bad}"
            self.serve(0.02)

    def serve(self, seconds: float) -> None:
        """Answer what is there, or wait for something to be there."""
        poller = zmq.Poller()
        for socket in (self._zap, self._command):
            if not socket.closed:
                poller.register(socket, zmq.POLLIN)
        for socket, _ in poller.poll(int(seconds * 1000)):
            if socket is self._zap:
                self._admit()
            else:
                self._take()
        self._beat()

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + self.interval
            body = self._body(ServerHeartbeat("push01", self.incarnation_id))
            self.broadcast_raw(framing.seal_rsa(key_of("server"), body), body)

    def _admit(self) -> None:
        frames = self._zap.recv_multipart()
        good = self.admitting and frames[6] in self._admitted
        status = (b"200", b"") if good else (b"400", b"No such client")
        self._zap.send_multipart([b"1.0", frames[1], *status, b"", b""])

    def _take(self) -> None:
        identity, *frames = self._command.recv_multipart()
        new, self.identity = identity != self.identity, identity
        try:
            header, body = frames
            framing.check_hmac(self.session_key, framing.parse_header(header), body)
            fields = messages.load(body)
            framing.check_timestamp(fields["timestamp"], time.time(), 300.0)
        except Exception as error:  # the test shows it when it waits in vain
            self.bad.append(repr(error))
            return
        message = messages.decode_node(fields)
        if isinstance(message, Output):
            self._store(message)
            return
        if "stdout_size" in fields:
            for stream in messages.STREAMS:
                fields[stream] = self.printed(str(fields["job_id"]), stream).decode()
        self.heard.append(fields)
        if new and isinstance(message, Heartbeat):
            self.say(Ack())
        if isinstance(message, Reply) and self.confirming and self.extensions:
            if message.kind.value in ("succeeded", "failed", "aborted") and message.job.id:
                self.say(Confirm(message.job.id))

    def printed(self, job_id: str, stream: str) -> bytes:
        """What a job has printed by now, as it was heard."""
        return bytes(self._printed.get((job_id, stream), b""))

    def _store(self, output: Output) -> None:
        key = (str(output.job.id), output.stream)
        end = output.offset + len(output.data)
        self._printed.setdefault(key, bytearray())[output.offset : end] = output.data
        self.say(OutputAck(output.job.id, output.stream, end, 65536))

    # Settings over HTTPS

    def settings(self, node_key: rsa.RSAPublicKey) -> Dict[str, Any]:
        """The answer to a signed GET."""
        server_key = key_of("server").public_key()
        sealed = node_key.encrypt(self.session_key, PKCS1v15())
        answer = {
            "type": "config",
            "host": "localhost",
            "push_jobs": {
                "heartbeat": {
                    "out_addr": self._broadcast.getsockopt_string(zmq.LAST_ENDPOINT),
                    "command_addr": self.command_addr,
                    "interval": self.interval,
                    "offline_threshold": 3,
                    "online_threshold": 2,
                }
            },
            "node": "web1",
            "organization": "acme",
            "public_key": server_key.public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            "curve_public_key": self._public.decode(),
            "encoded_session_key": {
                "method": "hmac_sha256",
                "key": base64.b64encode(sealed).decode(),
            },
            "lifetime": 3600,
            "max_message_skew": 300,
            "max_body_size": 65536,
            "incarnation_id": self.incarnation_id,
        }
        if self.extensions:
            answer["extensions"] = self.extensions
        return dict(answer, **self.changes)

    def _answer(self, target: str, headers: Dict[str, str]) -> "tuple[int, Any]":
        self.gets.append(target)
        if self.refusal is not None:
            status, text = self.refusal
            return status, {"error": [text]}
        node_key = key_of("web1").public_key()
        claim = chef_auth.read_claim(headers, time.time())
        chef_auth.verify(claim, method="GET", target=target, body=b"", public_keys=[node_key])
        [key] = parse_qs(urlsplit(target).query)["ccpk"]
        self.admit(key)
        return 200, self.settings(node_key)

    def _handler(self) -> Type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    status, answer = server._answer(self.path, dict(self.headers.items()))
                except chef_auth.AuthError as error:
                    status, answer = error.status, {"error": error.error}
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def _z85_decode(text: str) -> bytes:
    groups = []
    for start in range(0, len(text), 5):
        value = 0
        for sign in text[start : start + 5]:
            value = value * 85 + _Z85.index(sign)
        groups.append(struct.pack(">I", value))
    return b"".join(groups)

"""Reports as schob sends them: its headers, each once, and nobody looks at certificates."""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_wire import chef_auth

_AGAIN = 10.0
"""Seconds between two attempts to send a chunk that got a 2xx which is not 200."""
_ATTEMPTS = 31
_PATIENCE = 60.0


class Put(NamedTuple):
    """A report that was sent, and the status of the answer; None where none came."""

    path: str
    body: Mapping[str, Any]
    status: Optional[int]


class Reporter:
    """Sends the reports of one node, in parallel if it must; a lost one stays lost.

    Attributes:
        sent: all that was sent, in the order of the answers.

    Args:
        url: the server, without a path.
        node: as whom it signs.
        key: with what.
    """

    def __init__(self, url: str, node: str, key: RSAPrivateKey) -> None:
        self.sent: List[Put] = []
        self.stopped = threading.Event()
        self._place = urlsplit(url)
        self._node = node
        self._key = key
        self._idle: List[http.client.HTTPConnection] = []

    def report(self, path: str, body: Mapping[str, Any]) -> Optional[int]:
        """Send it once; the status of the answer, None where the server is away."""
        if self.stopped.is_set():
            return None
        content = json.dumps(body).encode()
        try:
            status: Optional[int] = self._put(path, content)
        except (OSError, http.client.HTTPException):
            status = None
        self.sent.append(Put(path, body, status))
        return status

    def chunk(self, path: str, body: Mapping[str, Any]) -> None:
        """Send it; another 2xx than 200 makes it come at once again, and then every 10 s."""
        for attempt in range(_ATTEMPTS):
            status = self.report(path, body)
            if status is None or status == 200 or status // 100 != 2:
                return
            if attempt and self.stopped.wait(_AGAIN):
                return

    def close(self) -> None:
        """Send nothing any more."""
        self.stopped.set()
        self._hang_up()

    def _hang_up(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _put(self, path: str, content: bytes) -> int:
        """The status of the answer to one request on a connection of its own while it lasts."""
        connection = self._idle_one() or self._new()
        try:
            status = self._exchange(connection, path, content)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self.stopped.is_set():
            self._hang_up()
        return status

    def _idle_one(self) -> Optional[http.client.HTTPConnection]:
        """A connection that the server has not closed meanwhile, as Go's library has it."""
        while self._idle:
            connection = self._idle.pop()
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def _exchange(self, connection: http.client.HTTPConnection, path: str, content: bytes) -> int:
        connection.putrequest("PUT", path, skip_accept_encoding=True)
        for name, value in self._headers(path, content).items():
            connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def _headers(self, path: str, content: bytes) -> Dict[str, str]:
        signed = chef_auth.sign(
            method="PUT",
            target=path,
            body=content,
            user_id=self._node,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._key,
            version="1.0",
        )
        own = {
            "User-Agent": "Go-http-client/1.1",
            "Content-Length": str(len(content)),
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Method": "PUT",
            "X-Chef-Version": "11.12.0",
        }
        return {**own, **signed, "X-Ops-Sign": "algorithm=sha1;version=1.0"}

    def _new(self) -> http.client.HTTPConnection:
        host, port = str(self._place.hostname), self._place.port
        if self._place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_PATIENCE)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)

"""The API of ``api_desk`` behind our real HTTPS server, and a caller that sends any bytes.

Nothing of an HTTP library is between the test and the server: what a test sends is what arrives.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional

from api_desk import Desk, Reply, signed
from stub_certificates import tls_context

from push_jobs_server.http import HttpServer

PATIENCE = 10.0
"""Seconds until a test gives up waiting for an answer."""


class Line:
    """One TLS connection to the server."""

    def __init__(self, plain: socket.socket, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        self._plain = plain
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def answer(self) -> Reply:
        """Read one answer; it has to tell its length."""
        status = self._file.readline()
        assert status.startswith(b"HTTP/1."), status
        fields = http.client.parse_headers(self._file)
        headers = {name.lower(): text for name, text in fields.items()}
        length = int(headers["content-length"])
        body = self._file.read(length)
        assert len(body) == length
        assert b"Traceback" not in body
        return Reply(int(status.split()[1]), headers, body)

    def at_end(self) -> bool:
        """True when the server has closed the connection; waits until it has, or sends more."""
        return self._file.read(1) == b""

    def reset(self) -> None:
        """Break the connection without a word of TLS, as a crashed client does."""
        now = b"\1\0\0\0\0\0\0\0"
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self.socket.close()


class TlsDesk:
    """A desk, its server on a free port, and calls to it."""

    def __init__(self, desk: Desk, folder: Path, request_timeout: float = PATIENCE) -> None:
        tls_context(folder)
        self.desk = desk
        self._ca = folder / "ca.pem"
        chain = str(folder / "server.pem")
        self._server = HttpServer(
            ("127.0.0.1", 0), desk.application, 2, 0, request_timeout, PATIENCE, (chain, chain)
        )
        self._server.expiration_interval = 0.05  # seconds until it notices that it shall stop
        self.port = self._server.listen()
        self._thread = threading.Thread(target=self._server.serve)
        self._thread.start()
        self._lines: List[Line] = []

    def close(self) -> None:
        """Close what tests left open, and stop the server."""
        self.hang_up()
        self._server.stop()
        self._thread.join(PATIENCE)

    def hang_up(self) -> None:
        """Close all connections of the caller."""
        for line in self._lines:
            line.close()

    def plain(self) -> socket.socket:
        """A connection without TLS; the caller closes it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def line(self) -> Line:
        """A new connection with TLS."""
        line = Line(self.plain(), self._ca)
        self._lines.append(line)
        return line

    def call(self, method: str, target: str, body: bytes = b"") -> Reply:
        """A signed request on a connection of its own."""
        line = self.line()
        line.send(request(method, target, body))
        return line.answer()


def request(
    method: str,
    target: str,
    body: bytes = b"",
    headers: Optional[Mapping[str, Optional[str]]] = None,
) -> bytes:
    """A request of alice as bytes; a header of None is left out."""
    sent: Dict[str, Optional[str]] = {"Host": "push.test", **signed(method, target, body=body)}
    if body:
        sent.update({"Content-Type": "application/json", "Content-Length": str(len(body))})
    return head(f"{method} {target} HTTP/1.1", {**sent, **(headers or {})}) + body


def head(line: str, headers: Mapping[str, Optional[str]]) -> bytes:
    """The first line and the headers of a request."""
    lines = [f"{name}: {text}" for name, text in headers.items() if text is not None]
    return "".join(f"{each}\r\n" for each in (line, *lines, "")).encode("latin-1")


@contextmanager
def open_tls_desk(desk: Desk, folder: Path, request_timeout: float = PATIENCE) -> Iterator[TlsDesk]:
    """A server for this desk; stopped at the end."""
    served = TlsDesk(desk, folder, request_timeout)
    try:
        yield served
    finally:
        served.close()

"""One connection of the HTTPS server: the TLS handshake, and Cheroot's habits that we change.

Every refusal is JSON, broken requests are the caller's fault and leave no traceback, and nothing
of a request is ever taken for the next one. What a request means is not decided here.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from typing import Any, Callable, Union

from cheroot.server import HTTPConnection, HTTPRequest

from push_jobs_server.http_files import Reader, Writer
from push_jobs_server.http_streams import gone

log = logging.getLogger("push_jobs_server.http")

_PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Content-Length: 50\r\n\r\n{"error":["this port speaks HTTPS; use https://"]}'
)
_DRAIN = 3.0
"""Seconds that a refused peer may take to send the rest of its request."""
_DRAIN_PAUSE = 0.5
"""Seconds without a byte after which we no longer wait for that rest."""


class Request(HTTPRequest):
    """A request as it is read, and its answer as it is sent."""

    def __init__(self, server: Any, conn: Any) -> None:
        # Not strict: clients send paths that begin with two slashes (pushy-api 1.2).
        super().__init__(server, conn, proxy_mode=False, strict_mode=False)

    def read_request_line(self) -> bool:
        """Refuse targets that Python's parser of URLs can't read."""
        read: Callable[[], Any] = super().read_request_line
        try:
            return bool(read())
        except ValueError:
            self.simple_response("400 Bad Request", "Malformed Request-URI")
            return False

    def read_request_headers(self) -> bool:
        """Refuse lengths that are no plain number; Cheroot takes ``-5`` and ``1_0``."""
        read: Callable[[], Any] = super().read_request_headers
        if not read():
            return False
        if not self.inheaders.get(b"Content-Length", b"0").isdigit():
            self.simple_response("400 Bad Request", "Content-Length is no number")
            return False
        if b"Transfer-Encoding" in self.inheaders:
            # Cheroot would take trailers, and what follows a broken chunk, for the next request.
            self.close_connection = True
        return True

    def respond(self) -> None:
        """Answer; a peer that has gone is no defect."""
        try:
            super().respond()
            self.conn.wfile.flush()
        except OSError as error:
            log.debug("lost %s while answering: %s", self.conn.remote_addr, error)
            self.close_connection = True

    def write(self, chunk: bytes) -> None:
        """Send a piece; of an answer without a length only to a reader that is still there."""
        if self.chunked_write:
            self.server.streams.add(self.conn)
            if gone(self.conn.socket):
                raise BrokenPipeError(errno.EPIPE, "the reader of a stream is gone")
        super().write(chunk)

    def send_headers(self) -> None:
        """Close after the answer when the body was not read: it may be endless."""
        said_so = (b"connection", b"close") in ((k.lower(), v) for k, v in self.outheaders)
        # In a chunked body nothing but its end says how much is left.
        unread = self.chunked_read or getattr(self.rfile, "remaining", 0) > 0
        if unread or said_so:
            self.close_connection = True
            self.conn.unread = True
        self.conn.wfile.hold = True
        super().send_headers()

    def simple_response(self, status: str, msg: str = "") -> None:
        """Refuse a request that never reaches the application, in JSON as everything else."""
        self.close_connection = self.sent_headers = self.conn.unread = True
        body = json.dumps({"error": [msg or status.split(" ", 1)[-1]]})
        lines = (
            f"{self.server.protocol} {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "",
            body,
        )
        try:
            self.conn.wfile.write("\r\n".join(lines).encode("ascii", "replace"))
        except OSError as error:
            log.debug("lost %s while refusing: %s", self.conn.remote_addr, error)


def _files(sock: socket.socket, mode: str, size: int) -> Union[Reader, Writer]:
    return Reader(sock, size) if "r" in mode else Writer(sock)


class Connection(HTTPConnection):
    """Shakes hands, with a deadline, before its first request."""

    RequestHandlerClass = Request
    shaken = False
    queued = False
    unread = False
    """True when the peer may still be sending what nobody is going to read."""

    def __init__(self, server: Any, sock: Any, makefile: Any) -> None:
        super().__init__(server, sock, _files)

    def communicate(self) -> bool:
        """Serve one request; True when the connection stays open."""
        if not self.shaken and self.server.ssl_adapter is not None and not self._shake():
            return False
        self.shaken = True
        serve: Callable[[], Any] = super().communicate
        try:
            return bool(serve())
        finally:
            self.server.streams.remove(self)

    def close(self) -> None:
        """Close, but not before the peer could read our answer."""
        if self.unread:
            self._drain()
        super().close()

    def _drain(self) -> None:
        """Read and forget: closing with unread input resets the connection, and our answer may
        be lost with it."""
        deadline = time.monotonic() + _DRAIN
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(_DRAIN_PAUSE)
            while self.socket.recv(65536) and time.monotonic() < deadline:
                pass
        except OSError:
            pass  # the peer is gone, or has nothing more to say

    def _shake(self) -> bool:
        self.socket.settimeout(self.server.handshake_timeout)
        try:
            self.socket.do_handshake()
        except OSError as error:  # ssl.SSLError is one
            if "HTTP_REQUEST" in str(error):
                self._answer_plain()
            log.debug("no TLS handshake with %s: %s", self.remote_addr, error)
            return False
        self.socket.settimeout(self.server.timeout)
        return True

    def _answer_plain(self) -> None:
        self.unread = True
        with socket.socket(fileno=os.dup(self.socket.fileno())) as plain:
            try:
                plain.sendall(_PLAIN_ANSWER)
            except OSError:
                pass  # the peer is gone

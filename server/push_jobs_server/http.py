"""The HTTPS server: Cheroot, with two of its habits changed.

Cheroot shakes TLS hands in its one accept thread and gives each new connection a worker thread at
once; a few silent connections could hold everybody up. Here a new connection waits in the selector,
without a thread, until it has sent something, and the handshake is made with a deadline in the
worker that then serves it (architecture 3, TLS).
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from typing import Any, Callable, Dict, Optional, Tuple

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server as WsgiServer

from push_jobs_wire.errors import PushJobsError

log = logging.getLogger("push_jobs_server.http")

_MAX_HEADER = 64 * 1024
_PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Content-Length: 50\r\n\r\n{"error":["this port speaks HTTPS; use https://"]}'
)


class HttpError(PushJobsError):
    """Raised when the HTTP server can't listen."""


class _Adapter(BuiltinSSLAdapter):
    """Wraps connections without shaking hands."""

    def wrap(self, sock: socket.socket) -> Tuple[ssl.SSLSocket, Dict[str, Any]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class _Request(HTTPRequest):
    """Lets paths through that begin with two slashes: clients send them (pushy-api 1.2)."""

    def __init__(self, server: Any, conn: Any) -> None:
        super().__init__(server, conn, proxy_mode=False, strict_mode=False)


class _Connection(HTTPConnection):
    """Shakes hands, with a deadline, before its first request."""

    RequestHandlerClass = _Request
    shaken = False
    queued = False

    def communicate(self) -> bool:
        if not self.shaken and self.server.ssl_adapter is not None and not self._shake():
            return False
        self.shaken = True
        serve: Callable[[], Any] = super().communicate
        return bool(serve())

    def _shake(self) -> bool:
        self.socket.settimeout(self.server.handshake_timeout)
        try:
            self.socket.do_handshake()
        except OSError as error:  # ssl.SSLError is one
            if "HTTP_REQUEST" in str(error):
                self._answer_plain()
            log.debug("no TLS handshake with %s: %s", getattr(self, "remote_addr", "?"), error)
            return False
        self.socket.settimeout(self.server.timeout)
        return True

    def _answer_plain(self) -> None:
        with socket.socket(fileno=os.dup(self.socket.fileno())) as plain:
            try:
                plain.sendall(_PLAIN_ANSWER)
                plain.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the peer is gone


class HttpServer(WsgiServer):
    """Serves a WSGI application; ``listen`` binds, ``serve`` blocks until ``stop``.

    Args:
        address: host and port; port 0 takes a free one.
        application: the WSGI application.
        threads: worker threads; each serves one request at a time.
        request_timeout: seconds that a read or write of a request may take, and that an idle
            connection is kept.
        handshake_timeout: seconds for a TLS handshake.
        certificate: certificate and key file; None speaks plain HTTP.
    """

    ConnectionClass = _Connection

    def __init__(
        self,
        address: Tuple[str, int],
        application: Callable[..., Any],
        threads: int,
        request_timeout: float,
        handshake_timeout: float,
        certificate: Optional[Tuple[str, str]],
    ) -> None:
        options: Any = {"timeout": request_timeout}  # typed as whole seconds, taken as any
        super().__init__(
            address,
            application,
            numthreads=threads,
            max=threads,
            server_name="push-jobs",
            request_queue_size=512,
            **options,
        )
        self.max_request_header_size = _MAX_HEADER
        self.handshake_timeout = handshake_timeout
        if certificate is not None:
            self.ssl_adapter = self._adapter(*certificate)

    @staticmethod
    def _adapter(certificate: str, key: str) -> _Adapter:
        try:
            adapter = _Adapter(certificate, key)
        except (OSError, ValueError) as error:
            raise HttpError(
                f"certificate {certificate} with key {key} can't be used: {error}"
            ) from None
        adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
        return adapter

    def listen(self) -> int:
        """Bind and make the worker threads; returns the port. Raises HttpError."""
        host, port = self.bind_addr[:2]
        try:
            self.prepare()
        except OSError as error:
            raise HttpError(
                f"cannot listen on {host}:{port}: {error}; "
                "is another server running? Change http.port"
            ) from None
        return int(self.bind_addr[1])

    def process_conn(self, conn: Any) -> None:
        """A new connection first waits until it says something."""
        if getattr(conn, "queued", True):
            super().process_conn(conn)
        else:
            conn.queued = True
            self.put_conn(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Send Cheroot's words to our log."""
        log.log(level, "%s", msg, exc_info=traceback)

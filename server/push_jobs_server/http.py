"""The HTTPS server: Cheroot, with some of its habits changed.

Cheroot shakes TLS hands in its one accept thread and gives each new connection a worker thread at
once; a few silent connections could hold everybody up. Here a new connection waits in the selector,
without a thread, until it has sent something, and the handshake is made with a deadline in the
worker that then serves it (architecture 3, TLS).

An answer without a length is a stream (an event feed): it is sent piece by piece, a reader that is
gone is noticed before each piece, and ``stop`` does not wait for one that does not read.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any, Callable, Dict, Optional, Tuple

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server as WsgiServer

from push_jobs_server.http_connection import Connection
from push_jobs_server.http_streams import Streams
from push_jobs_wire.errors import PushJobsError

log = logging.getLogger("push_jobs_server.http")

_MAX_HEADER = 64 * 1024
_STREAM_END = 0.5
"""Seconds in which streams end by themselves when the server stops."""


class HttpError(PushJobsError):
    """Raised when the HTTP server can't listen."""


class _Adapter(BuiltinSSLAdapter):
    """Wraps connections without shaking hands."""

    def wrap(self, sock: socket.socket) -> Tuple[ssl.SSLSocket, Dict[str, Any]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class HttpServer(WsgiServer):
    """Serves a WSGI application; ``listen`` binds, ``serve`` blocks until ``stop``.

    Args:
        address: host and port; port 0 takes a free one.
        application: the WSGI application.
        threads: worker threads; each serves one request at a time.
        feeds: worker threads beside them, as many as there may be endless answers.
        request_timeout: seconds that a read or write of a request may take, and that an idle
            connection is kept.
        handshake_timeout: seconds for a TLS handshake.
        certificate: certificate and key file; None speaks plain HTTP.
    """

    ConnectionClass = Connection

    def __init__(
        self,
        address: Tuple[str, int],
        application: Callable[..., Any],
        threads: int,
        feeds: int,
        request_timeout: float,
        handshake_timeout: float,
        certificate: Optional[Tuple[str, str]],
    ) -> None:
        options: Any = {"timeout": request_timeout}  # typed as whole seconds, taken as any
        super().__init__(
            address,
            application,
            numthreads=threads + feeds,
            max=threads + feeds,
            server_name="push-jobs",
            request_queue_size=512,
            **options,
        )
        self.max_request_header_size = _MAX_HEADER
        self.handshake_timeout = handshake_timeout
        self.streams = Streams()
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
            if self.socket is not None:
                self.socket.close()
            raise HttpError(
                f"cannot listen on {host}:{port}: {error}; "
                "is another server running? Change http.port"
            ) from None
        return int(self.bind_addr[1])

    def stop(self) -> None:
        """Stop serving; whoever feeds the streams has ended them before."""
        self.streams.cut(_STREAM_END)
        super().stop()

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: Any) -> Any:
        """Bind; Cheroot forgets to close a socket that can't be bound."""
        bind: Callable[..., Any] = WsgiServer.bind_socket
        try:
            return bind(socket_, bind_addr)
        except OSError:
            socket_.close()
            raise

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

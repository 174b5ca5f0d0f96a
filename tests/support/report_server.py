"""A server for reports over HTTP that says what a test wants, and a proxy in front of it."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, NamedTuple, Optional


class Report(NamedTuple):
    """A request: its target as it was sent, headers, body, and the connection that it came on."""

    target: str
    headers: Dict[str, str]
    body: bytes
    connection: int


class ReportServer:
    """Answers every PUT.

    Args:
        context: for TLS.

    Attributes:
        reports: what came.
        status: what it answers.
        answer: the body of it.
        headers: what it says besides.
        hang_up: the connection is closed after each answer without a word about it.
        gate: no answer before this is set.
    """

    def __init__(self, context: Optional[ssl.SSLContext] = None) -> None:
        self.reports: List[Report] = []
        self.status = 200
        self.answer = b"{}"
        self.headers: Dict[str, str] = {}
        self.hang_up = False
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.reports.append(
                    Report(self.path, dict(self.headers), body, self.client_address[1])
                )
                outer.gate.wait(20.0)
                self.send_response(outer.status)
                for name, value in {
                    **outer.headers,
                    "Content-Length": str(len(outer.answer)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.answer)
                self.close_connection = outer.hang_up

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TunnelProxy:
    """A proxy that lets one connection after the other through (CONNECT), and notes whereto."""

    def __init__(self) -> None:
        import socket

        self.asked: List[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:p%40ss@127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        import socket

        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.asked.append(head.decode("latin-1"))
            host, _, port = head.split(b" ")[1].decode("ascii").rpartition(":")
            server = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def _copy(source: Any, target: Any) -> None:
    try:
        while True:
            data = source.recv(65536)
            target.sendall(data)
            if not data:
                break
    except OSError:
        pass
    finally:
        source.close()
        target.close()

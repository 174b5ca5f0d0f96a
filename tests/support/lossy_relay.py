"""A TCP relay before a server that can lose an answer: the request arrives, nothing comes back."""

from __future__ import annotations

import socketserver
import threading
from contextlib import closing
from selectors import EVENT_READ, DefaultSelector
from socket import create_connection, socket
from typing import List, Tuple

_SIZE = 65536


class LossyRelay:
    """Listens at ``port`` of 127.0.0.1 and passes everything on.

    Args:
        target: host and port of the server.

    Attributes:
        to_lose: how many answers to POST will be lost from now on: the connection is closed as
            soon as the server begins to answer.
        posts: all POST requests as they came, headers and body.
    """

    def __init__(self, target: Tuple[str, int]) -> None:
        self.to_lose = 0
        self.posts: List[bytes] = []
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with closing(create_connection(target)) as server:
                    relay._carry(self.request, server)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _carry(self, client: socket, server: socket) -> None:
        """Pass bytes on until one end closes or an answer is lost."""
        others = {client: server, server: client}
        is_post = False
        with DefaultSelector() as ready:
            for each in others:
                ready.register(each, EVENT_READ, each)
            while True:
                for key, _ in ready.select():
                    end: socket = key.data
                    data = end.recv(_SIZE)
                    if not data or (end is server and is_post and self._loses()):
                        return
                    if end is client:
                        is_post = self._note(data, is_post)
                    others[end].sendall(data)

    def _loses(self) -> bool:
        self.to_lose -= 1
        return self.to_lose >= 0

    def _note(self, data: bytes, is_post: bool) -> bool:
        """Keep what belongs to a POST; whether this does."""
        if data.startswith(b"POST "):
            self.posts.append(data)
            return True
        if is_post and not data.startswith(b"GET "):
            self.posts[-1] += data
            return True
        return False

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

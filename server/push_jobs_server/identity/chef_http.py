"""Signed GET requests to a Chef-compatible server: bounded in time and size, no redirects.

The thin shell around ``requests``: what an answer means is decided elsewhere. Nothing of the
environment counts: a proxy, a CA bundle or a netrc file there could make somebody else answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any, Dict, Iterator, List, Optional, Union
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_wire import chef_auth

LARGEST = 10 * 2**20
"""Bytes of the largest answer that is read; a group of 100,000 nodes has about 4 MB."""


_HEADERS = {
    "User-Agent": "push-jobs-server",
    "Accept": "application/json",
    # Compressed, a small answer could become a large one.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True)
class Signer:
    """Who asks: the name of a user or client of the Chef server, its key, how it signs."""

    user: str
    key: RSAPrivateKey
    version: str

    def sign(self, target: str) -> Dict[str, str]:
        """The headers of a GET request, of which ``target`` is the path. Raises LocalError."""
        return chef_auth.sign(
            method="GET",
            target=target,
            body=b"",
            user_id=self.user,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self.key,
            version=self.version,
            # With 1 the answer about a principal has all its keys.
            server_api_version="1",
        )


@dataclass(frozen=True)
class Answer:
    """An answer with its whole body."""

    status: int
    body: bytes


class ChefHttp:
    """Asks from many threads; connections are kept open, as many as were needed at one time.

    They belong to no thread: the server's HTTP side has hundreds, and there are Chef servers that
    take a hundred connections and let all others wait.

    Args:
        ca: file with the certificates to trust; None for those that the system trusts.
    """

    def __init__(self, signer: Signer, ca: Optional[str]) -> None:
        self._signer = signer
        self._verify: Union[str, bool] = ca or True
        self._free: Dict[str, List[_Line]] = {}
        self._lock = threading.Lock()

    def get(self, url: str, until: float) -> Answer:
        """Ask; ``until`` is when to give up, in seconds of the monotonic clock.

        Raises IdentityUnavailable when no answer can be had that is worth reading.
        """
        with self._line(url) as line, line.watched(until):
            try:
                return self._ask(line, url, until)
            except requests.ConnectionError:
                # The server may have closed a kept connection while this was on its way.
                if line.is_new or line.cut:
                    raise
                return self._ask(line, url, until)

    def close(self) -> None:
        """Close all connections; nobody may be asking any more."""
        with self._lock:
            for line in chain.from_iterable(self._free.values()):
                line.close()

    @contextlib.contextmanager
    def _line(self, url: str) -> "Iterator[_Line]":
        """A line to a server that nobody else has; the one used last, so that few are in use."""
        origin = "://".join(urlsplit(url)[:2])
        with self._lock:
            free = self._free.setdefault(origin, [])
            line = free.pop() if free else _Line()
        try:
            yield line
        finally:
            with self._lock:
                free.append(line)

    def _ask(self, line: "_Line", url: str, until: float) -> Answer:
        patience = until - time.monotonic()
        if patience <= 0:
            raise requests.Timeout
        line.is_new = False
        headers = {**self._signer.sign(urlsplit(url).path), **_HEADERS}
        request = requests.Request("GET", url, headers=headers).prepare()
        # Not through a session: that one reads the whole body of a redirect, however large.
        with line.adapter.send(
            request, stream=True, timeout=patience, verify=self._verify
        ) as response:
            return Answer(response.status_code, _body(response))


def _body(response: requests.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise IdentityUnavailable("its answer is compressed although that was not asked for")
    body: bytes = response.raw.read(LARGEST + 1, decode_content=False)
    if len(body) > LARGEST:
        raise IdentityUnavailable(f"its answer is larger than {LARGEST} bytes")
    expected = response.headers.get("Content-Length")
    if expected is not None and expected != str(len(body)):
        raise IdentityUnavailable("its answer ended early")
    return body


class _Line:
    """One connection to a server, for one thread at a time, and a hold to cut it in time.

    Timeouts of ``requests`` are for each piece that arrives: a server that trickles would hold a
    thread for hours.
    """

    def __init__(self) -> None:
        self.is_new = False
        self.cut = False
        self._hold: Optional[socket.socket] = None
        self._lock = threading.Lock()
        self.adapter: Any = _Adapter(self)  # Any: some of its methods have no types

    def take(self, connected: socket.socket) -> None:
        """Hold a new connection, by a descriptor of our own: TLS takes the other one over."""
        with self._lock:
            self._drop()
            self._hold = connected.dup()
            if self.cut:
                self._shut()

    @contextlib.contextmanager
    def watched(self, until: float) -> Iterator[None]:
        """Cut the connection at ``until``; whatever goes wrong comes out as IdentityUnavailable."""
        self.cut = False
        timer = threading.Timer(max(0.0, until - time.monotonic()), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
            if self.cut:  # what came is not whole, even if it looks so
                raise requests.Timeout
        except (IdentityUnavailable, requests.RequestException, HTTPError, OSError) as error:
            self.close()
            raise IdentityUnavailable(self._reason(error)) from None
        finally:
            timer.cancel()
            timer.join()

    def _reason(self, error: Exception) -> str:
        if self.cut or isinstance(error, requests.Timeout):
            return "it did not answer in time"
        if isinstance(error, IdentityUnavailable):
            return str(error)
        if isinstance(error, requests.exceptions.SSLError):
            return f"its certificate is not accepted, see the setting chef.ca: {_innermost(error)}"
        return f"it cannot be reached: {_innermost(error)}"

    def _cut(self) -> None:
        with self._lock:
            self.cut = True
            self._shut()

    def _shut(self) -> None:
        if self._hold is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._hold.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self.adapter.close()
        with self._lock:
            self._drop()


def _innermost(error: BaseException) -> str:
    """The words of the error that began it all: those around it repeat addresses of objects."""
    seen = 0
    while seen < 10:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error, seen = inner, seen + 1
    return str(getattr(error, "strerror", None) or error)[:200]


class _Adapter(HTTPAdapter):
    """One kept connection, of which its line is told."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        parent: Any = super()  # Any: it has no types
        parent.init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _telling(HTTPConnectionPool, self._line),
            "https": _telling(HTTPSConnectionPool, self._line),
        }


def _telling(pool: Any, line: _Line) -> Any:
    """A class of pools whose connections tell the line when they open."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            line.is_new = True
            connected = super()._new_conn()
            line.take(connected)
            return connected

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

"""A server's HTTP API without sockets: real store, writer, identities and engine, signed calls."""

from __future__ import annotations

import functools
import io
import json
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push_jobs_server import serf_parts
from push_jobs_server.api.refusals import RefusalLog
from push_jobs_server.api.services import ServerFacts, Services
from push_jobs_server.engine.access import Access
from push_jobs_server.engine.core import Engine, EngineRules
from push_jobs_server.engine.thread import EngineThread
from push_jobs_server.feeds.hub import FeedRules
from push_jobs_server.feeds.readers import Feeds
from push_jobs_server.identity.base import Identity
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.identity.remembered import RememberedIdentity
from push_jobs_server.records import Change, SessionKeyStored
from push_jobs_server.settings import TABLE
from push_jobs_server.store import Store
from push_jobs_server.store.writer import Writer
from push_jobs_server.transports.memory import MemoryTransport
from push_jobs_wire import chef_auth

with warnings.catch_warnings():
    # Older releases of Bottle import a module that Python 3.13 lacks, and an import hook of old.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", ImportWarning)
    from push_jobs_server.api.app import build

# That hook, of which we use nothing, warns with every import that fails.
sys.meta_path[:] = [each for each in sys.meta_path if type(each).__name__ != "_ImportRedirect"]

PUSHY = "/organizations/acme/pushy"
JOBS = PUSHY + "/jobs"
PEER = "192.0.2.7"


@functools.lru_cache(maxsize=None)
def key_of(name: str) -> rsa.RSAPrivateKey:
    """The private key of a user or client; the same for all tests of a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(name: str) -> str:
    """The public half of ``key_of`` as PEM text."""
    key = key_of(name).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def signed(
    method: str,
    target: str,
    user: str = "alice",
    body: bytes = b"",
    *,
    at: Optional[float] = None,
    version: str = "1.3",
    key: Optional[str] = None,
) -> Dict[str, str]:
    """The signing headers of a request, made now or ``at`` seconds since the epoch."""
    return chef_auth.sign(
        method=method,
        target=target,
        body=body,
        user_id=user,
        timestamp=chef_auth.timestamp(time.time() if at is None else at),
        private_key=key_of(key or user),
        version=version,
    )


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which has to be JSON by its type, too."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The value of ``error`` in a body that holds nothing else."""
        assert list(self.json) == ["error"]
        return self.json["error"]


class Desk:
    """The parts of the server, and a caller's end of its API.

    ``skew`` is how many seconds the server's clock is ahead. ``source`` is where the API takes
    identities from, instead of those in ``identity``.
    """

    def __init__(
        self,
        url: str,
        settings: Mapping[str, Any],
        stored: Sequence[Change] = (),
        source: Optional[Identity] = None,
    ) -> None:
        values = TABLE.parse(settings, "test", "/")
        self.skew = 0.0
        self.store = Store(url)
        self.store.write(stored)
        self.identity = LocalIdentity(self.store)
        if not self.identity.orgs():
            self._fill()
        self.access = Access(self.store.session_keys(), self.store.grants(time.time()))
        rules = EngineRules(job_linger=float(values["job_linger"]))
        unfinished = self.store.unfinished()
        engine = Engine(
            rules,
            "incarnation",
            self.access,
            unfinished,
            time.time(),
            lambda *_: None,
            self.store.sightings(),
            serf=serf_parts.known(values, self.store),
        )
        self.writer = Writer(self.store, capacity=100)
        self.feeds = Feeds(FeedRules(), 4, "run-1")
        self.transport = MemoryTransport()
        self.engine = EngineThread(
            engine, self.transport, self.writer, lambda body: b"signed", 10.0, self.feeds
        )
        facts = ServerFacts("incarnation", "push.test", 10000, 10002, "PEM", "k" * 40)
        clock = self._now
        self.refusals = RefusalLog(self.writer, values["trusted_proxies"], clock)
        services = Services(
            values,
            facts,
            self.store,
            source or RememberedIdentity(self.identity),
            self.engine,
            self.feeds,
            clock,
            self.refusals,
        )
        self.application = build(services)
        self.writer.start(self.engine.stored)
        self.engine.start()

    def _fill(self) -> None:
        identity = self.identity
        identity.create_org("acme", "Acme")
        identity.create_org("other", "Other")
        for name in ("alice", "bob", "mallory"):
            identity.create_user(name, public_pem(name))
        for name in ("alice", "bob"):
            identity.add_user_to_org("acme", name)
        identity.add_user_to_org("other", "alice")
        for org in ("acme", "other"):
            identity.add_to_group(org, "admins", "user", "alice")
        identity.create_client("acme", "web01", public_pem("web01"))

    def _now(self) -> float:
        return time.time() + self.skew

    def close(self) -> None:
        """Stop the threads and close the database."""
        self.engine.stop()
        self.engine.join(10)
        assert self.writer.close(10)
        self.store.close()

    def wait_for_writer(self) -> None:
        """Wait until everything that was given to the writer is stored."""

        def request(engine: Engine, answer: Callable[[object], None]) -> None:
            batch = engine.batch("wait")
            batch.changes.append(SessionKeyStored("acme", "nobody", b""))
            batch.after.append(lambda: answer(None))

        self.engine.ask(request)

    def get(self, target: str, user: str = "alice", **options: Any) -> Reply:
        """A signed GET; see ``call``."""
        return self.call("GET", target, user, **options)

    def post(self, body: Any, user: str = "alice", **options: Any) -> Reply:
        """A signed POST of a job; bytes are sent as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
        return self.call("POST", JOBS, user, body=raw, **options)

    def call(
        self,
        method: str,
        target: str,
        user: Optional[str] = "alice",
        *,
        body: bytes = b"",
        headers: Optional[Mapping[str, Optional[str]]] = None,
        version: str = "1.3",
        age: float = 0.0,
        key: Optional[str] = None,
    ) -> Reply:
        """Send a request, signed unless ``user`` is None; a header of None is left out."""
        sent: Dict[str, Optional[str]] = {}
        if user is not None:
            at = time.time() - age
            sent.update(signed(method, target, user, body, at=at, version=version, key=key))
        if body:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        return self.send(method, target, body, {k: v for k, v in sent.items() if v is not None})

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Call the application as a server does; no body may show a traceback."""
        environ = _environ(method, target, body, headers)
        started: List[Tuple[str, List[Tuple[str, str]]]] = []
        chunks = self.application(
            environ, lambda status, found, *_: started.append((status, found))
        )
        content = b"".join(chunks)
        assert b"Traceback" not in content
        status, found = started[-1]
        names = {name.lower(): value for name, value in found}
        return Reply(int(status.split()[0]), names, content)


def _environ(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Dict[str, Any]:
    path, _, query = target.partition("?")
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REMOTE_ADDR": PEER,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "push.test:443",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    for name, value in headers.items():
        plain = name.upper().replace("-", "_")
        environ[plain if plain.startswith("CONTENT_T") else "HTTP_" + plain] = value
    return environ


@contextmanager
def open_desk(
    url: str,
    stored: Sequence[Change] = (),
    source: Optional[Identity] = None,
    **settings: Any,
) -> Iterator[Desk]:
    """A desk over the database at ``url``: an empty one, or one that a desk has left.

    ``stored`` is written to it before the server starts.
    """
    desk = Desk(url, settings, stored, source)
    try:
        yield desk
    finally:
        desk.close()

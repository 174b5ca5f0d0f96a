"""A running server: its parts put together, started in order and stopped in order.

Order of the start: the store is read before sockets are bound, so that the first frame of a node
finds its key and its jobs; HTTP comes last. Order of the stop: feeds end, no new requests, then the
engine, then the writer drains what was given to it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Optional

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push_jobs_server import data, layout, serf_parts
from push_jobs_server.api.app import build
from push_jobs_server.api.refusals import RefusalLog
from push_jobs_server.api.services import ServerFacts, Services
from push_jobs_server.engine.access import Access
from push_jobs_server.engine.core import Engine, EngineRules
from push_jobs_server.engine.events import rebuilt
from push_jobs_server.engine.node import HealthRules
from push_jobs_server.engine.thread import EngineThread
from push_jobs_server.feeds.hub import FeedRules
from push_jobs_server.feeds.readers import Feeds
from push_jobs_server.housekeeping import Housekeeper
from push_jobs_server.http import HttpServer
from push_jobs_server.identity.chosen import open_identity
from push_jobs_server.logs import set_up_logging
from push_jobs_server.serf_parts import SerfParts
from push_jobs_server.store import Store
from push_jobs_server.store.writer import Writer
from push_jobs_server.transports.zeromq import ZeroMQTransport
from push_jobs_wire import framing
from push_jobs_wire.errors import PushJobsError
from push_jobs_wire.settings import Values

log = logging.getLogger("push_jobs_server")

_SWITCH_INTERVAL = 0.0005
"""Seconds; with Python's 5 ms a busy HTTP thread holds up the engine (measured: 3 ms a job)."""
_DRAIN = 30.0
"""Seconds that the writer may take for what it holds when the server stops."""


def run(settings: Values, data_dir: Path) -> int:
    """Run the server until TERM or INT; returns its exit code.

    Raises PushJobsError when it can't start: port in use, database missing, key unreadable.
    """
    set_up_logging(str(settings["log.level"]), str(settings["log.format"]))
    sys.setswitchinterval(_SWITCH_INTERVAL)
    server = Server(settings, data_dir)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    gc.freeze()  # what is here now stays: looking through it again and again takes 20 ms each time
    try:
        stop.wait()
    finally:
        server.stop()
    return 0


class Server:
    """All parts of one server.

    Args:
        settings: as loaded, with absolute paths.
        data_dir: where keys and run files are.
    """

    def __init__(self, settings: Values, data_dir: Path) -> None:
        self._run_dir = data_dir / layout.RUN
        self._settings = settings
        self.store = Store(str(settings["database.url"]))
        signing_key = data.signing_key(data_dir)
        curve_public, curve_secret = data.curve_keys(data_dir)
        access = Access(self.store.session_keys(), self.store.grants(time.time()))
        self._writer = Writer(self.store, capacity=int(settings["queue_capacity"]))
        incarnation_id = str(uuid.uuid4())
        unfinished = self.store.unfinished()
        self._feeds = _feeds(settings, incarnation_id[:8])
        for job in unfinished:
            self._feeds.restore(rebuilt(job))
        engine = Engine(
            _rules(settings),
            incarnation_id,
            access,
            unfinished,
            time.time(),
            _log_event,
            self.store.sightings(),
            self.store.session_keys_made(),
            serf_parts.known(settings, self.store),
        )
        self._transport = ZeroMQTransport(
            str(settings["zeromq.host"]),
            int(settings["zeromq.heartbeat_port"]),
            int(settings["zeromq.command_port"]),
            curve_public,
            curve_secret,
            lambda key: engine.admission.authorise(key, time.time()),
            int(settings["max_message_size"]),
        )
        self._engine = EngineThread(
            engine,
            self._transport,
            self._writer,
            lambda body: framing.seal_rsa(signing_key, body),
            float(settings["heartbeat_interval"]),
            self._feeds,
        )
        public_key = signing_key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.facts = ServerFacts(
            incarnation_id,
            str(settings["zeromq.advertised_host"]),
            self._transport.heartbeat_port,
            self._transport.command_port,
            public_key.decode("ascii") + "\n",
            curve_public,
            _read_ca(settings),
        )
        self._identity = open_identity(settings, self.store)
        self._serf: Optional[SerfParts] = None
        if settings["serf.organization"] is not None:
            self._serf = SerfParts(settings, data_dir, self._engine, self._identity)
        self._refusals = RefusalLog(self._writer, settings["trusted_proxies"], time.time)
        self._housekeeper = Housekeeper(self.store, settings, self._refusals.flush)
        services = Services(
            settings,
            self.facts,
            self.store,
            self._identity,
            self._engine,
            self._feeds,
            refusals=self._refusals,
        )
        self._http = _http_server(settings, build(services))
        self._http_thread = threading.Thread(target=self._http.serve, name="http", daemon=True)

    def start(self) -> None:
        """Listen and serve; says where in the log and in the run folder."""
        port = self._http.listen()
        self._writer.start(self._engine.stored)
        self._engine.start()
        if self._serf is not None:
            self._serf.start()
        self._http_thread.start()
        self._housekeeper.start()
        scheme = "https" if self._settings["tls.enabled"] else "http"
        url = f"{scheme}://{_reachable(str(self._settings['http.host']))}:{port}"
        try:
            self._write_run_files(url)
        except OSError as error:
            self.stop()  # threads that go on would keep the process alive
            raise PushJobsError(
                f"{self._run_dir} can't be written: {error.strerror}; "
                "give it to the user who runs the server"
            ) from None
        log.info(
            "server is up: %s, heartbeats on port %d, commands on port %d, incarnation %s",
            url,
            self.facts.heartbeat_port,
            self.facts.command_port,
            self.facts.incarnation_id,
        )

    def stop(self) -> None:
        """Stop in order; whatever the engine gave to the writer is stored."""
        log.info("stopping")
        self._feeds.close()
        self._http.stop()
        self._housekeeper.stop()
        self._refusals.flush(force=True)
        if self._serf is not None:
            self._serf.stop()
        self._engine.stop()
        self._engine.join(5.0)
        if not self._writer.close(_DRAIN):
            log.error("the database took no more writes; unfinished jobs go on at the next start")
        self._identity.close()
        self.store.close()
        for name in (layout.ADDRESSES, layout.PID):
            with suppress(OSError):
                (self._run_dir / name).unlink()
        log.info("stopped")

    def _write_run_files(self, url: str) -> None:
        addresses: Dict[str, Any] = {
            "http": url,
            "heartbeat_port": self.facts.heartbeat_port,
            "command_port": self.facts.command_port,
        }
        self._run_dir.mkdir(mode=0o700, exist_ok=True)
        (self._run_dir / layout.PID).write_text(f"{os.getpid()}\n")
        partial = self._run_dir / (layout.ADDRESSES + ".new")
        partial.write_text(json.dumps(addresses) + "\n")
        partial.replace(self._run_dir / layout.ADDRESSES)


def _rules(settings: Values) -> EngineRules:
    health = HealthRules(
        float(settings["heartbeat_interval"]),
        float(settings["decay_window"]),
        float(settings["down_threshold"]),
    )
    return EngineRules(
        health,
        voting_timeout=float(settings["voting_timeout"]),
        rehab_interval=float(settings["rehab_interval"]),
        job_linger=float(settings["job_linger"]),
        max_message_size=int(settings["max_message_size"]),
        max_message_skew=float(settings["max_message_skew"]),
        max_output=int(settings["max_output"]),
        session_key_lifetime=float(settings["session_key_lifetime"]),
        server_name=socket.gethostname(),
    )


def _feeds(settings: Values, run: str) -> Feeds:
    rules = FeedRules(float(settings["job_linger"]), float(settings["org_feed_expiration"]))
    return Feeds(rules, int(settings["http.max_feeds"]), run)


def _http_server(settings: Values, application: Any) -> HttpServer:
    certificate = None
    if settings["tls.enabled"]:
        certificate = (str(settings["tls.certificate"]), str(settings["tls.key"]))
    return HttpServer(
        (str(settings["http.host"]), int(settings["http.port"])),
        application,
        int(settings["http.threads"]),
        int(settings["http.max_feeds"]),
        float(settings["http.request_timeout"]),
        float(settings["tls.handshake_timeout"]),
        certificate,
    )


def _read_ca(settings: Values) -> str:
    path = settings["tls.ca"]
    if not settings["tls.enabled"] or path is None:
        return ""
    try:
        return Path(str(path)).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PushJobsError(f"the CA's certificate {path} can't be read: {error}") from None


def _reachable(host: str) -> str:
    """A name under which this machine reaches what listens on ``host``."""
    names = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}
    return names.get(host, f"[{host}]" if ":" in host else host)


def _log_event(event: str, details: Dict[str, object]) -> None:
    log.info("%s", event, extra={"fields": details})

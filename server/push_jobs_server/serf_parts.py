"""The parts of a running server that are there for nodes over Serf, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from push_jobs_server import data
from push_jobs_server.engine.serf_orders import SerfKnown
from push_jobs_server.engine.thread import EngineThread
from push_jobs_server.identity.base import Identity
from push_jobs_server.serf_heartbeats import Heartbeats
from push_jobs_server.settings_serf import split_address
from push_jobs_server.store import Store
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_server.transports.serf import SerfPlace, SerfThread
from push_jobs_wire.settings import Values


def known(settings: Values, store: Store) -> SerfKnown:
    """What an earlier run has left of nodes over Serf."""
    org = settings["serf.organization"]
    if org is None:
        return SerfKnown()
    reads = SerfReads(store)
    return SerfKnown(str(org), reads.latest(str(org)), sorted(reads.open_runs(str(org))))


class SerfParts:
    """The two threads for nodes over Serf.

    Args:
        settings: with ``serf.organization`` set.
        data_dir: where a signing key is made when none is set.
        engine: hears of everything, and its orders are taken.
        identity: knows which nodes are registered.

    Raises PushJobsError when the signing key can't be used.
    """

    def __init__(
        self, settings: Values, data_dir: Path, engine: EngineThread, identity: Identity
    ) -> None:
        host, port = split_address(str(settings["serf.address"]))
        auth_key: Optional[str] = settings["serf.auth_key"]
        place = SerfPlace(host, port, auth_key, int(settings["serf.query_size_limit"]))
        key = data.shovey_key(settings, data_dir)
        self._beats = Heartbeats(str(settings["serf.organization"]), identity, engine.tell)
        self._link = SerfThread(place, key, engine.tell, self._beats.take)
        engine.orders = self._link

    def start(self) -> None:
        """Begin to connect; an agent that is away is waited for."""
        self._beats.start()
        self._link.start()

    def stop(self) -> None:
        """End both; what was sent is on its way."""
        self._link.stop()
        self._beats.stop()
        self._link.join(2.0)
        self._beats.join(2.0)

"""The feed of a job's output: what its nodes print, when they print it. Ours (architecture 5).

The hub says which channel has grown, the bytes come from the store; so a reader that is slow, or
comes late, costs no memory and gets everything that is kept.
"""

from __future__ import annotations

import base64
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple
from urllib.parse import parse_qs

from push_jobs_server.api.common import admit_reader, find_job, set_stream_headers
from push_jobs_server.api.services import Failure, Services, or_busy
from push_jobs_server.api.status import Accepts
from push_jobs_server.engine.events import JOB_COMPLETE, OUTPUT
from push_jobs_server.feeds import sse
from push_jobs_server.feeds.history import MICROSECONDS, Entry
from push_jobs_server.feeds.readers import Reader
from push_jobs_wire.messages import STREAMS

Channel = Tuple[str, str]
"""(node, stream)."""


class OutputFeeds:
    """``v1/jobs/ID/output_feed``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def job(self, environ: Dict[str, Any], accept: Accepts, org: str, job: str) -> Iterator[bytes]:
        """Everything that the job's nodes printed and print, to its end.

        ``?node=NAME``, which may come several times, names the nodes that are wanted.
        """
        admit_reader(self._services, environ, accept, org)
        # First the reader, then the look into the store: so nothing falls between them.
        reader = or_busy(lambda: self._services.feeds.open_output(org, job))
        try:
            nodes = self._nodes(org, job, environ)
        except BaseException:
            if reader is not None:
                reader.close()
            raise
        set_stream_headers()
        source = _Source(self._services, org, job, nodes)
        return _pieces(source, reader, float(self._services.settings["keep_alive_time"]))

    def _nodes(self, org: str, job_id: str, environ: Dict[str, Any]) -> List[str]:
        wanted = parse_qs(str(environ.get("QUERY_STRING", ""))).get("node", [])
        nodes = find_job(self._services, org, job_id).request.nodes
        strangers = [name for name in wanted if name not in nodes]
        if strangers:
            raise Failure(400, [f"not a node of this job: {', '.join(strangers)}"])
        return wanted or list(nodes)


class _Source:
    """What a reader has of each channel, and what there is beyond."""

    def __init__(self, services: Services, org: str, job_id: str, nodes: List[str]) -> None:
        self._store = services.store
        self._limit = int(services.settings["max_output"])
        self._org = org
        self._job_id = job_id
        self._positions: Dict[Channel, int] = {
            (node, stream): 0 for node in nodes for stream in STREAMS
        }

    def channels(self) -> List[Channel]:
        """All channels that are wanted."""
        return list(self._positions)

    def grown(self, entries: Iterable[Entry]) -> List[Channel]:
        """The channels that these events are about; all of them when some events got lost."""
        if any(entry.name != OUTPUT for entry in entries):
            return self.channels()
        named = {(entry.data["node"], entry.data["stream"]): None for entry in entries}
        return [channel for channel in named if channel in self._positions]

    def read(self, channels: Iterable[Channel]) -> Iterator[bytes]:
        """The events about what is new in these channels."""
        for node, stream in channels:
            position = self._positions[node, stream]
            for offset, data in self._store.output_from(
                self._org, self._job_id, node, stream, position, self._limit
            ):
                self._positions[node, stream] = offset + len(data)
                yield _event(
                    OUTPUT,
                    {
                        "node": node,
                        "stream": stream,
                        "offset": offset,
                        "data": base64.b64encode(data).decode("ascii"),
                    },
                )

    def end(self) -> bytes:
        """The last event."""
        job = self._store.job(self._org, self._job_id)
        return _event(JOB_COMPLETE, {"status": None if job is None else job.status.value})


def _pieces(source: _Source, reader: Optional[Reader], keep_alive: float) -> Iterator[bytes]:
    """What there is, at once; then what comes; at the end, what came last."""
    try:
        yield sse.KEEP_ALIVE
        yield from source.read(source.channels())
        if reader is not None:
            entries = reader.take(keep_alive)
            while entries is not None:
                yield b"".join(source.read(source.grown(entries))) or sse.KEEP_ALIVE
                entries = reader.take(keep_alive)
            if not reader.history.closed:
                return  # the server stops: the job goes on
            yield from source.read(source.channels())
        yield source.end()
    finally:
        if reader is not None:
            reader.close()


def _event(name: str, data: Dict[str, Any]) -> bytes:
    """An event without an id: who reads again begins anew and knows offsets."""
    entry = Entry("", round(time.time() * MICROSECONDS), name, data)
    return sse.event_text(entry)

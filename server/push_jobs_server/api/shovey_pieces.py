"""Where a numbered piece of output has its place, among those that came before it (shovey 2.7)."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import ContextManager, List

from push_jobs_server.api.services import Failure, Services
from push_jobs_server.api.shovey_body import ChunkBody
from push_jobs_server.serf_records import SerfChunk
from push_jobs_server.store.serf_reads import Channel, SerfReads

_MOST_HELD = 1000
"""Pieces of a stream that may come before one that is missing."""
_LOCKS = 64


class ShoveyPieces:
    """Pieces of one run are taken one after the other, so that each finds its place; pieces of
    other runs do not wait for that."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reads = SerfReads(services.store)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def of(self, job_id: str, node: str) -> ContextManager[object]:
        """Held while pieces of this run find their places and are stored."""
        return self._locks[hash((job_id, node)) % _LOCKS]

    def placed(self, job_id: str, node: str, body: ChunkBody, before: int = 0) -> List[SerfChunk]:
        """The new piece, and those behind it that waited for it; none if it is here already.

        ``before`` counts pieces of the run that are stored together with this one. Raises Failure
        413 when too much waits for a piece that is missing.
        """
        channel = self._reads.channel(job_id, node, body.stream, body.seq)
        if channel.known:
            return []
        new = SerfChunk(
            job_id,
            node,
            body.stream,
            body.seq,
            channel.arrivals + before,
            body.is_last,
            None,
            len(body.data),
            body.data,
        )
        held = self._held(job_id, node, body.stream, channel)
        if body.seq != channel.next_seq:
            self._check_room(held)
            return [new]
        placed: List[SerfChunk] = []
        end = channel.end
        for chunk in [new, *held]:
            if chunk.seq != channel.next_seq + len(placed):
                break
            placed.append(replace(chunk, begins_at=end))
            end += chunk.size
        return placed

    def _held(self, job_id: str, node: str, stream: str, channel: Channel) -> List[SerfChunk]:
        if not channel.arrivals:
            return []
        return self._reads.held(job_id, node, stream, channel.next_seq - 1)

    def _check_room(self, held: List[SerfChunk]) -> None:
        """Pieces behind a missing one can't be joined and cut like the others."""
        most = int(self._services.settings["max_output"])
        if len(held) >= _MOST_HELD or sum(chunk.size for chunk in held) >= most:
            raise Failure(413, "too many pieces came before one that is missing")

"""Output as nodes send it, piece by piece: what is new of a piece, and what may be let go. Pure.

Of each channel the head and the tail are kept, half of the limit each; between them the oldest
goes. Pieces come in order and are repeated after a new connection, so the end of what was taken
tells which bytes are new. One that does not follow it had another before it that got lost: it is
not taken, and the node goes back. Sources: architecture 5.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Set, Tuple

from push_jobs_server.records import OutputChunk
from push_jobs_wire.messages import Output

CREDIT = 65536
"""Bytes that a node may send beyond what is stored of a channel."""

Channel = Tuple[str, str, str]
"""(job, node, stream)."""


class OutputIntake:
    """What was taken so far of each channel of the jobs in memory.

    Args:
        limit: bytes that are kept of a channel.
    """

    def __init__(self, limit: int) -> None:
        self._head = limit // 2
        self._tail = limit - self._head
        self._taken: Dict[Channel, int] = {}
        self._from_start: Set[str] = set()

    def begin(self, job_id: str) -> None:
        """A job is new: nothing was taken of it before."""
        self._from_start.add(job_id)

    def follows(self, job_id: str, node: str, output: Output) -> bool:
        """False when bytes are missing before a piece that the node did send.

        Of a job from before a restart the first piece tells how far its channel was stored: a node
        sends nothing twice that was acknowledged.
        """
        taken = self._taken.get((job_id, node, output.stream))
        if taken is None and job_id not in self._from_start:
            return True
        return output.offset - output.skipped <= (taken or 0)

    def take(self, org: str, job_id: str, node: str, output: Output) -> List[OutputChunk]:
        """What has to be stored of a piece; nothing when all of it was here before."""
        channel = (job_id, node, output.stream)
        begin = max(output.offset, self._taken.get(channel, 0))
        data = output.data[begin - output.offset :]
        if not data:
            return []
        self._taken[channel] = begin + len(data)
        tail = max(self._head, begin + len(data) - self._tail)
        return [
            OutputChunk(job_id, node, output.stream, offset, part, org, self._head, tail)
            for offset, part in self._split(begin, data)
        ]

    def end(self, job_id: str, node: str, stream: str) -> int:
        """The offset up to which this channel was taken."""
        return self._taken.get((job_id, node, stream), 0)

    def forget(self, job_id: str) -> None:
        """The job is not in memory any more."""
        self._from_start.discard(job_id)
        for channel in [channel for channel in self._taken if channel[0] == job_id]:
            del self._taken[channel]

    def _split(self, begin: int, data: bytes) -> Iterator[Tuple[int, bytes]]:
        """Cut where the head ends, so that no chunk belongs to head and middle."""
        inside = min(max(self._head - begin, 0), len(data))
        if inside:
            yield begin, data[:inside]
        if inside < len(data):
            yield begin + inside, data[inside:]

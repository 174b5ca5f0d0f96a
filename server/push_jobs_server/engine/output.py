"""Output as nodes send it, piece by piece: what is new of a piece, and what may be let go. Pure.

Of each channel the head and the tail are kept, half of the limit each; between them the oldest
goes. Pieces come in order on one connection and are repeated after a new one, so the end of what
was taken tells which bytes are new. Sources: architecture 5.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Tuple

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

    def end(self, job_id: str, node: str, output: Output) -> int:
        """The offset up to which this channel was taken, with this piece."""
        mine = output.offset + len(output.data)
        return max(mine, self._taken.get((job_id, node, output.stream), 0))

    def forget(self, job_id: str) -> None:
        """The job is not in memory any more."""
        for channel in [channel for channel in self._taken if channel[0] == job_id]:
            del self._taken[channel]

    def _split(self, begin: int, data: bytes) -> Iterator[Tuple[int, bytes]]:
        """Cut where the head ends, so that no chunk belongs to head and middle."""
        inside = min(max(self._head - begin, 0), len(data))
        if inside:
            yield begin, data[:inside]
        if inside < len(data):
            yield begin + inside, data[inside:]

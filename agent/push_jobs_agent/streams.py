"""The output of captured jobs on its way to a server that takes it as it comes. Pure.

The spool is the buffer: of each channel only three numbers are kept, how many bytes there are, how
many were sent and how many the server has stored. The server grants credit, so that a node that
talks too much waits in its own spool and nowhere else. After a new connection everything that was
not acknowledged is sent again. Source: architecture 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Tuple

from push_jobs_agent.actions import Now, ReadPart
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.spooled import SpooledJob
from push_jobs_wire.messages import STREAMS, JobRef, Output, OutputAck

FIRST_CREDIT = 65536
"""Bytes that may be sent before the server has said anything."""

PART = 32768
"""Bytes of one message at most."""

ENVELOPE = 1024
"""Bytes of a message beside the output in it; in base64 that takes four bytes for three."""


@dataclass
class _Stream:
    size: int = 0
    sent: int = 0
    stored: int = 0
    credit: int = FIRST_CREDIT
    reading: bool = False

    @property
    def room(self) -> int:
        """Bytes that may be read and sent now."""
        if self.reading:
            return 0
        return min(self.size - self.sent, self.stored + self.credit - self.sent)


class Streams:
    """Sends the channels of all jobs in the spool that capture."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._jobs: Dict[str, Dict[str, _Stream]] = {}

    def hold(self, job: SpooledJob) -> None:
        """A job runs or ended; its sizes are known up to now."""
        if not job.capture:
            return
        streams = self._jobs.setdefault(job.job_id, {name: _Stream() for name in STREAMS})
        for name, size in zip(STREAMS, job.sizes):
            streams[name].size = max(streams[name].size, size)

    def forget(self, job_id: str) -> None:
        """The server has everything of a job, or will never have it."""
        self._jobs.pop(job_id, None)

    def done(self, job: SpooledJob) -> bool:
        """True when the server has stored all that an ended job printed.

        That it was sent is not enough: the transport may not have taken it.
        """
        streams = self._jobs.get(job.job_id, {})
        return all(stream.stored >= stream.size for stream in streams.values())

    def connected(self) -> None:
        """The connection is new: what was not stored may have got lost."""
        for _, _, stream in self._all():
            stream.sent = stream.stored

    def acknowledged(self, ack: OutputAck) -> None:
        """The server has stored a channel up to some byte and takes more."""
        stream = self._jobs.get(ack.job_id or "", {}).get(ack.stream)
        if stream is not None:
            stream.stored = max(stream.stored, min(ack.offset, stream.size))
            stream.sent = max(stream.sent, stream.stored)
            stream.credit = ack.credit

    def pump(self) -> None:
        """Ask for the bytes that can be sent now."""
        most = min(PART, max(1, (self._outbox.limit - ENVELOPE) * 3 // 4))
        for job_id, name, stream in self._all():
            room = min(stream.room, most)
            if room > 0:
                stream.reading = True
                self._outbox.do(ReadPart(job_id, name, stream.sent, room))

    def part_read(self, part: ReadPart, offset: int, data: bytes, now: Now) -> None:
        """Bytes were read from the spool; they begin later than asked when some were left out."""
        stream = self._jobs.get(part.job_id, {}).get(part.stream)
        if stream is None:
            return
        stream.reading = False
        if stream.sent != part.offset:
            return  # the connection changed meanwhile: they are read again
        if data:
            self._outbox.output(Output(JobRef(part.job_id), part.stream, offset, data), now)
            stream.sent = offset + len(data)
        else:
            # The spool has less than it had: nothing can be done about what is lost.
            stream.size = stream.sent

    def _all(self) -> Iterator[Tuple[str, str, _Stream]]:
        found: List[Tuple[str, str, _Stream]] = [
            (job_id, name, stream)
            for job_id, streams in self._jobs.items()
            for name, stream in streams.items()
        ]
        return iter(found)

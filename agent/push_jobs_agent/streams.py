"""The output of captured jobs on its way to a server that takes it as it comes. Pure.

The spool is the buffer: of each channel only three numbers are kept, how many bytes there are, how
many were sent and how many the server has stored. One piece is under way at a time, of all channels
together, so that output never fills the short queue of the socket and what else is said finds room
there; the channels take turns. The server grants credit, so that a node that talks too much waits
in its own spool and nowhere else. What was not acknowledged is sent again after a new connection
and from time to time, and so is what the server misses. Source: architecture 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from push_jobs_agent.actions import Now, ReadPart
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.spooled import SpooledJob
from push_jobs_wire.messages import STREAMS, JobRef, Output, OutputAck

FIRST_CREDIT = 65536
"""Bytes that may be sent before the server has said anything."""

PART = 32768
"""Bytes of one message at most."""

REPEAT = 30.0
"""Seconds until a piece that was not acknowledged is sent again."""

ENVELOPE = 1024
"""Bytes of a message beside the output in it; in base64 that takes four bytes for three."""

Channel = Tuple[str, str]
"""(job, stream)."""


@dataclass
class _Stream:
    size: int = 0
    sent: int = 0
    stored: int = 0
    credit: int = FIRST_CREDIT
    reading: bool = False

    @property
    def under_way(self) -> bool:
        """True while a piece is on its way to the server."""
        return self.reading or self.sent > self.stored

    @property
    def room(self) -> int:
        """Bytes that may be read and sent once nothing is under way."""
        return min(self.size - self.sent, self.credit)


class Streams:
    """Sends the channels of all jobs in the spool that capture."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._streams: Dict[Channel, _Stream] = {}
        self._repeat_at = float("inf")

    def hold(self, job: SpooledJob) -> None:
        """A job runs or ended; its sizes are known up to now."""
        if not job.capture:
            return
        for name, size in zip(STREAMS, job.sizes):
            stream = self._streams.setdefault((job.job_id, name), _Stream())
            stream.size = max(stream.size, size)

    def forget(self, job_id: str) -> None:
        """The server has everything of a job, or will never have it."""
        for name in STREAMS:
            self._streams.pop((job_id, name), None)

    def done(self, job: SpooledJob) -> bool:
        """True when the server has stored all that an ended job printed.

        That it was sent is not enough: the transport may not have taken it.
        """
        streams = [self._streams.get((job.job_id, name)) for name in STREAMS]
        return all(stream is None or stream.stored >= stream.size for stream in streams)

    def connected(self) -> None:
        """The connection is new: what was not stored may have got lost."""
        self._go_back()

    def _go_back(self) -> None:
        for stream in self._streams.values():
            stream.sent = stream.stored

    def acknowledged(self, ack: OutputAck) -> None:
        """The server has stored a channel up to some byte and takes more, or misses some."""
        stream = self._streams.get((ack.job_id or "", ack.stream))
        if stream is None:
            return
        if ack.again:
            stream.sent = stream.stored = min(stream.stored, ack.offset)
            return
        stream.credit = ack.credit
        stream.stored = max(stream.stored, min(ack.offset, stream.size))
        stream.sent = max(stream.sent, stream.stored)

    def not_taken(self, output: Output) -> None:
        """The transport could not take a piece: it is sent again later."""
        stream = self._streams.get((output.job.id or "", output.stream))
        if stream is not None:
            stream.sent = stream.stored

    def next_call(self) -> Optional[float]:
        """When ``pump`` wants to be called though nothing happens, in steady seconds."""
        return self._repeat_at if self._under_way else None

    @property
    def _under_way(self) -> bool:
        return any(stream.under_way for stream in self._streams.values())

    def pump(self, now: Now) -> None:
        """Ask for the bytes that can be sent now."""
        if now.steady >= self._repeat_at:
            self._go_back()
        if self._under_way:
            return
        most = min(PART, max(1, (self._outbox.limit - ENVELOPE) * 3 // 4))
        for channel, stream in list(self._streams.items()):
            if stream.room > 0:
                stream.reading = True
                self._streams[channel] = self._streams.pop(channel)  # the others come first now
                self._outbox.do(ReadPart(*channel, stream.sent, min(stream.room, most)))
                return

    def part_read(self, part: ReadPart, offset: int, data: bytes, now: Now) -> None:
        """Bytes were read from the spool; they begin later than asked when some were left out."""
        stream = self._streams.get((part.job_id, part.stream))
        if stream is None:
            return
        stream.reading = False
        if stream.sent != part.offset:
            return  # the connection changed meanwhile: they are read again
        if data:
            ref, skipped = JobRef(part.job_id), offset - part.offset
            self._outbox.output(Output(ref, part.stream, offset, data, skipped), now)
            stream.sent = offset + len(data)
            stream.size = max(stream.size, stream.sent)
            self._repeat_at = now.steady + REPEAT
        else:
            # The spool has less than it had: nothing can be done about what is lost.
            stream.size = stream.sent

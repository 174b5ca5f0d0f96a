"""One channel of a run as numbered chunks of text. Pure.

The spool is the buffer. Which bytes a chunk stands for is decided once and kept on the disk, so
that a chunk that is said again, also by the next agent, is the same one. Chunks end between
characters; bytes that the spool has let go are told by the mark that all our ends use.
Sources: shovey 2.7, 5.6; checklist 8, agent 5.
"""

from __future__ import annotations

import codecs
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from push_jobs_wire.messages import LEFT_OUT

PART = 32768
"""Bytes of one chunk at most; in JSON each may take six."""


class Chunk(NamedTuple):
    """A chunk: its number, the bytes ``begin`` to ``end`` that it stands for, if it is last."""

    seq: int
    begin: int
    end: int
    last: bool


class Channel:
    """The output of a run on ``stream``, which is stdout or stderr.

    Attributes:
        size: bytes that there are by now.
        ended: no more will come.
        closed: the last chunk has been taken.
        chunk: the one that is to be sent; its text is in ``text`` once it is complete.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.size = 0
        self.ended = False
        self.closed = False
        self.chunk: Optional[Chunk] = None
        self.text: Optional[str] = None
        self._seq = 0
        self._begin = 0
        self._from = 0
        self._before = ""
        self._buffer = b""

    # On the disk

    def record(self) -> Dict[str, Any]:
        """What the next agent has to know."""
        chunk = None if self.chunk is None else list(self.chunk)
        return {"seq": self._seq, "begin": self._begin, "closed": self.closed, "chunk": chunk}

    @classmethod
    def restored(cls, stream: str, record: Mapping[str, Any]) -> "Channel":
        """A channel as an earlier agent left it. Raises KeyError, TypeError or ValueError."""
        channel = cls(stream)
        channel._seq, channel._begin = int(record["seq"]), int(record["begin"])
        channel.size = channel._from = channel._begin
        channel.closed = bool(record["closed"])
        if record["chunk"] is not None:
            seq, begin, end, last = record["chunk"]
            channel.chunk = Chunk(int(seq), int(begin), int(end), bool(last))
            channel.size = max(channel.size, channel.chunk.end)
        return channel

    # What is there

    def grown(self, size: int, ended: bool) -> None:
        """There are so many bytes by now; ``ended`` says that these are all."""
        self.size = max(self.size, size)
        self.ended = self.ended or ended

    @property
    def _at(self) -> int:
        return self._from + len(self._buffer)

    def wanted(self) -> Optional[Tuple[int, int]]:
        """Offset and number of bytes to be read now, or None."""
        if self.closed or self.text is not None:
            return None
        goal = min(self.size, self._begin + PART) if self.chunk is None else self.chunk.end
        return (self._at, goal - self._at) if goal > self._at else None

    def read(self, offset: int, data: bytes) -> None:
        """Bytes were read for ``wanted``; later ones when some were let go, none at the end."""
        if offset > self._at:
            self._skip(offset)
        elif data:
            self._buffer += data
        elif self.chunk is not None:
            self._skip(self.chunk.end)
        else:
            self.size = self._at  # the spool has less than it had

    def _skip(self, offset: int) -> None:
        """The bytes up to ``offset`` are gone."""
        end = offset if self.chunk is None else min(offset, self.chunk.end)
        self._before += _text(self._buffer) + f"\n{LEFT_OUT % (end - self._at)}\n"
        self._from, self._buffer = end, b""
        self.size = max(self.size, end)

    def decide(self) -> None:
        """Make a chunk of all that could be read, unless it is nothing."""
        if self.closed or self.text is not None or self.wanted() is not None:
            return
        if self.chunk is not None:
            self.text = self._before + _text(self._buffer)
            return
        last = self.ended and self._at >= self.size
        length = len(self._buffer) if last else _whole(self._buffer)
        if length or last or self._before:
            self.chunk = Chunk(self._seq, self._begin, self._from + length, last)
            self.text = self._before + _text(self._buffer[:length])

    def taken(self) -> None:
        """The server has the chunk: go on behind it."""
        assert self.chunk is not None
        self._seq, self._begin = self.chunk.seq + 1, self.chunk.end
        self.closed = self.chunk.last
        self.chunk = self.text = None
        self._from, self._before, self._buffer = self._begin, "", b""


def _whole(data: bytes) -> int:
    """Bytes before a character whose end is not there yet."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return len(data) - len(decoder.getstate()[0])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

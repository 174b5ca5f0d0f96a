"""What the nodes of a job print, while they print it: followed over a feed, shown line by line."""

from __future__ import annotations

import base64
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Callable, Dict, Generator, Iterator, Optional, Tuple

from push_jobs.errors import BadAnswer, ServerUnreachable
from push_jobs.event_stream import JOB_COMPLETE, EventParser, JobEvent
from push_jobs.patience import OnTrouble, Patience
from push_jobs.terminal import escape_body, escape_line
from push_jobs_wire.messages import LEFT_OUT

OUTPUT = "output"
_PAUSE = 0.5
"""Seconds before a feed that ended too soon is opened again."""


@dataclass(frozen=True)
class OutputPiece:
    """Bytes that ``node`` wrote to ``stream`` (``stdout`` or ``stderr``).

    ``offset`` counts all bytes of that stream before these. It is larger than what came before when
    the node wrote more than is kept.
    """

    node: str
    stream: str
    offset: int
    data: bytes


class OutputFollower:
    """The pieces of one job's output, each byte once, over lost connections.

    Args:
        open_feed: opens the feed of its output; raises ServerUnreachable.
        patience: seconds for which the server may be away.
        on_trouble: called each time that it is away.
    """

    def __init__(
        self,
        open_feed: Callable[[], Generator[bytes, None, None]],
        patience: float,
        on_trouble: OnTrouble,
    ) -> None:
        self._open = open_feed
        self._patience = Patience(patience, on_trouble)
        self._positions: Dict[Tuple[str, str], int] = {}
        self._over = False

    def pieces(self) -> Iterator[OutputPiece]:
        """All output from the beginning, as it comes, to the end of the job."""
        while True:
            try:
                yield from self._read()
            except ServerUnreachable as error:
                self._patience.bear(error)
            if self._over:
                return
            time.sleep(_PAUSE)

    def fresh(self, piece: OutputPiece) -> Optional[OutputPiece]:
        """What of a piece was not seen before."""
        position = self._positions.get((piece.node, piece.stream), 0)
        begin = max(piece.offset, position)
        data = piece.data[begin - piece.offset :]
        if not data:
            return None
        self._positions[piece.node, piece.stream] = begin + len(data)
        return OutputPiece(piece.node, piece.stream, begin, data)

    def _read(self) -> Iterator[OutputPiece]:
        parser = EventParser()
        with closing(self._open()) as bytes_of_feed:
            for some in bytes_of_feed:
                self._patience.answered()
                for event in parser.take(some):
                    if event.name == JOB_COMPLETE:
                        self._over = True
                        return
                    piece = self.fresh(_piece(event)) if event.name == OUTPUT else None
                    if piece is not None:
                        yield piece


def _piece(event: JobEvent) -> OutputPiece:
    data = event.data
    try:
        node, stream, offset = str(data["node"]), str(data["stream"]), int(data["offset"])
        return OutputPiece(node, stream, offset, base64.b64decode(data["data"], validate=True))
    except (KeyError, TypeError, ValueError):
        raise BadAnswer("the output feed sends something that is no output") from None


class LinePrinter:
    """Prints pieces as whole lines with their node before them; stderr of nodes to our stderr."""

    def __init__(self) -> None:
        self._rest: Dict[Tuple[str, str], bytes] = {}
        self._positions: Dict[Tuple[str, str], int] = {}

    def take(self, piece: OutputPiece) -> None:
        """Print the lines that are complete with this piece."""
        channel = (piece.node, piece.stream)
        left_out = piece.offset - self._positions.get(channel, 0)
        if left_out > 0:
            self._finish(channel)
            self._print(channel, (LEFT_OUT % left_out).encode("ascii"))
        self._positions[channel] = piece.offset + len(piece.data)
        *lines, rest = (self._rest.pop(channel, b"") + piece.data).split(b"\n")
        for line in lines:
            self._print(channel, line)
        if rest:
            self._rest[channel] = rest

    def end(self) -> None:
        """Print what was not ended by a line end."""
        for channel in list(self._rest):
            self._finish(channel)

    def _finish(self, channel: Tuple[str, str]) -> None:
        rest = self._rest.pop(channel, b"")
        if rest:
            self._print(channel, rest)

    def _print(self, channel: Tuple[str, str], line: bytes) -> None:
        node, stream = channel
        file = sys.stdout if stream == "stdout" else sys.stderr
        text = escape_body(line[:-1] if line.endswith(b"\r") else line)
        file.write(f"{escape_line(node)}: {text}\n")
        file.flush()

"""Fetches captured output and prints it for people, under a heading for each node and stream."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence

from rich.text import Text

from push_jobs import documents
from push_jobs.client import Client
from push_jobs.models import Job
from push_jobs.printing import cell, print_text
from push_jobs.terminal import escape_body
from push_jobs_wire.messages import STREAMS
from push_jobs_wire.states import NodeStatus

_NEVER_RAN = (
    NodeStatus.NEW,
    NodeStatus.READY,
    NodeStatus.NACKED,
    NodeStatus.UNAVAILABLE,
    NodeStatus.WAS_READY,
)


class Piece(NamedTuple):
    """What one node wrote to one stream; None when nothing was kept."""

    node: str
    stream: str
    content: Optional[bytes]


def ran_on(job: Job) -> List[str]:
    """Return the nodes where the command was started."""
    return [node.name for node in job.nodes if node.status not in _NEVER_RAN]


def fetch(
    client: Client, job_id: str, nodes: Iterable[str], streams: Sequence[str] = STREAMS
) -> Iterator[Piece]:
    """Yield all pieces, in the order of the nodes."""
    for node in nodes:
        for stream in streams:
            yield Piece(node, stream, client.output(job_id, node, stream))


def print_pieces(pieces: Iterable[Piece]) -> None:
    """Print what was kept: a heading, the text and an empty line for each piece with text in it."""
    for node, group in groupby(pieces, lambda piece: piece.node):
        kept = [piece for piece in group if piece.content is not None]
        written = [piece for piece in kept if piece.content]
        for piece in written:
            print_text(cell(f"==> {node} {piece.stream} <==", "bold"))
            print_body(piece.content or b"")
            print_text(Text())
        if kept and not written:
            print_text(cell(f"==> {node} wrote nothing <==", "dim"))
            print_text(Text())


def print_body(content: bytes) -> None:
    """Print output so that it cannot harm a terminal; it always ends with a line end."""
    text = escape_body(content)
    sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")


def document(job_id: str, piece: Piece) -> documents.Document:
    """Return the piece as JSON."""
    return documents.output(job_id, piece.node, piece.stream, piece.content)

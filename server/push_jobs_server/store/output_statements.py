"""The statements about output that comes in chunks, and how chunks become one text again."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Tuple

from sqlalchemy import bindparam, delete, func

from push_jobs_server.records import OutputChunk
from push_jobs_server.store.node_statements import Row, Statement, beside_node
from push_jobs_server.store.tables import output_chunks
from push_jobs_wire.messages import LEFT_OUT

MARK = f"\n{LEFT_OUT}\n".encode("ascii")
"""Stands where bytes are missing."""


def add_chunk(insert: Any) -> Statement:
    """Insert beside a node of a job of that organization.

    After a restart of the server an agent may repeat bytes in longer pieces: the longer one stays.
    """
    statement = beside_node(insert, output_chunks)
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in output_chunks.primary_key],
        set_={"data": statement.excluded.data},
        where=func.length(statement.excluded.data) > func.length(output_chunks.c.data),
    )


def drop_middle() -> Statement:
    """Delete the chunks of a channel that lie between its head and its tail."""
    table = output_chunks.c
    return delete(output_chunks).where(
        table.job_id == bindparam("of_job"),
        table.node == bindparam("of_node"),
        table.stream == bindparam("of_stream"),
        table.begins_at >= bindparam("head"),
        table.begins_at + func.length(table.data) <= bindparam("tail"),
    )


def chunk_row(chunk: OutputChunk) -> Row:
    """The parameters of ``add_chunk``."""
    return {
        "of_job": chunk.job_id,
        "of_node": chunk.node,
        "of_org": chunk.org,
        "stream": chunk.stream,
        "begins_at": chunk.offset,
        "data": chunk.data,
    }


def middle_row(chunk: OutputChunk) -> Row:
    """The parameters of ``drop_middle``."""
    return {
        "of_job": chunk.job_id,
        "of_node": chunk.node,
        "of_stream": chunk.stream,
        "head": chunk.head,
        "tail": chunk.tail,
    }


def fresh(chunks: Iterable[Tuple[int, bytes]], position: int) -> Iterator[Tuple[int, bytes]]:
    """What of these chunks, in order of their offsets, lies behind ``position``; nothing twice."""
    for offset, data in chunks:
        begin = max(offset, position)
        new = data[begin - offset :]
        if new:
            yield begin, new
            position = begin + len(new)


def kept(chunks: Iterable[Tuple[int, bytes]], limit: int) -> Iterator[Tuple[int, bytes]]:
    """Head and tail of a channel, ``limit`` bytes, from its chunks in order of their offsets.

    Bytes that came twice count once.
    """
    found = list(fresh(chunks, 0))
    head = limit // 2
    end = max((offset + len(data) for offset, data in found), default=0)
    tail = max(head, end - (limit - head))
    for offset, data in found:
        begin = max(offset, tail) if offset >= head else offset
        shown = data[begin - offset :]
        if shown:
            yield begin, shown


def joined(chunks: Iterable[Tuple[int, bytes]], limit: int) -> bytes:
    """The text of a channel from its chunks in order of their offsets, in about ``limit`` bytes.

    Where some bytes are missing a mark says how many.
    """
    parts, position = [], 0
    for offset, data in kept(chunks, limit):
        if offset > position:
            parts.append(MARK % (offset - position))
        parts.append(data)
        position = offset + len(data)
    return b"".join(parts)

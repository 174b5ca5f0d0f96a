"""How large a Serf query is, and how many nodes fit into one. Source: shovey 3.4.

An agent refuses a query above its limit, and one that fits into no UDP packet reaches nobody; so
the nodes of a job are spread over as many queries as it takes.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence

SIZE_LIMIT = 1024
"""Bytes that an agent takes with its own settings (``query_size_limit``)."""

_FIXED = 105
_CLOCK = 5
"""Bytes of the Lamport time at most."""
_TIMEOUT = 4
_FILTER_HEAD = 3 + 1 + 3
_LONG_NAME = 32


def query_size(origin: str, name: str, payload: bytes, nodes: Sequence[str]) -> int:
    """Bytes of an encoded query, at most: with the longest clock, timeout and filter."""
    fixed = _FIXED + _CLOCK + _TIMEOUT + len(origin.encode()) + len(name) + len(payload)
    return fixed + (_FILTER_HEAD if nodes else 0) + sum(_name_size(node) for node in nodes)


def split(
    origin: str, name: str, payload: bytes, nodes: Sequence[str], limit: int = SIZE_LIMIT
) -> Iterator[List[str]]:
    """The nodes in groups of which each fits into one query; no group is ever empty.

    A node that fits into no query is a group by itself: the agent says that it is too large.
    """
    room = limit - query_size(origin, name, payload, ()) - _FILTER_HEAD
    group: List[str] = []
    used = 0
    for node in nodes:
        size = _name_size(node)
        if group and used + size > room:
            yield group
            group, used = [], 0
        group.append(node)
        used += size
    if group:
        yield group


def _name_size(node: str) -> int:
    length = len(node.encode())
    return length + 1 + (2 if length >= _LONG_NAME else 0)

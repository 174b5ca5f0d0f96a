"""Reads a quorum as people write it: ``3`` nodes or ``75%`` of them; without rounding errors."""

from __future__ import annotations

import re

from push_jobs.errors import UsageError

_FORM = re.compile(r"([0-9]{1,9})(%?)")


def parse_quorum(text: str, node_count: int) -> int:
    """Return how many of ``node_count`` nodes have to be ready, rounded up.

    Raises UsageError for another form, for more than 100%, and for more nodes than were chosen.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"quorum {text!r} is neither a number of nodes like 3 nor a share like 75%"
        )
    number = int(match[1])
    if match[2]:
        return _share(number, node_count)
    if number > node_count:
        nodes = "1 node was" if node_count == 1 else f"{node_count} nodes were"
        raise UsageError(f"a quorum of {number} can never be reached: only {nodes} chosen")
    return number


def _share(percent: int, node_count: int) -> int:
    if percent > 100:
        raise UsageError(f"a quorum of {percent}% can never be reached: it has to be 0% to 100%")
    return (percent * node_count + 99) // 100

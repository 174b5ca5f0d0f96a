"""Nodes for people: all of them in a table, or everything that is known of one."""

from __future__ import annotations

from datetime import datetime
from typing import List, Optional, Sequence, Tuple

from rich.text import Text

from push_jobs.node_advice import advice
from push_jobs.node_models import NodeDetail, NodeRefusal, Presence
from push_jobs.printing import cell, notice, print_pairs, print_table

_STYLES = {Presence.UP: "green", Presence.DOWN: "red", Presence.NEVER_SEEN: "yellow"}


def print_all(nodes: Sequence[NodeDetail]) -> None:
    """Print one line for each node."""
    if not nodes:
        notice("no node is known")
        return
    rows = [
        (cell(node.name), _word(node), cell(_time(node.since)), _jobs(node), cell(node.reason))
        for node in nodes
    ]
    print_table(("NODE", "STATUS", "SINCE", "JOBS", "WHY"), rows)


def print_detail(node: NodeDetail) -> None:
    """Print all that is known of one node, and what to do about it."""
    status = _word(node)
    if node.since is not None:
        status = Text.assemble(status, f" since {_time(node.since)}")
    pairs = [("node", cell(node.name)), ("status", status), ("jobs", _jobs(node))]
    pairs += [(name, cell(value)) for name, value in _facts(node) if value]
    print_pairs(pairs)


def _facts(node: NodeDetail) -> List[Tuple[str, Optional[str]]]:
    last = node.last_down
    was_down = None if last is None else f"{_time(last.at)}, {last.reason}"
    return [
        ("why", node.reason),
        ("registered", "no" if node.registered is False else None),
        ("last message", _time(node.seen_at)),
        ("last settings", _time(node.settings_fetched_at)),
        ("was down", was_down if node.online else None),
        ("refused", None if node.refusal is None else _refused(node.refusal)),
        ("agent", _agent(node)),
        ("holds", _holds(node)),
        ("can run", _can_run(node)),
        ("to do", advice(node)),
    ]


def _refused(refusal: NodeRefusal) -> str:
    times = "" if refusal.count == 1 else f" ({refusal.count} times)"
    return f"{_time(refusal.at)}, {refusal.detail}{times}"


def _agent(node: NodeDetail) -> Optional[str]:
    if node.extensions == 0:
        return "an old one, which tells little"
    return ", ".join(filter(None, (node.version, node.platform))) or None


def _holds(node: NodeDetail) -> Optional[str]:
    return ", ".join(f"job {job.id} ({job.status})" for job in node.jobs) or None


def _can_run(node: NodeDetail) -> Optional[str]:
    if node.runnable is None:
        return None
    names = ", ".join(node.runnable) or "nothing"
    return names if node.all_runnable else f"{names}, and more"


def _word(node: NodeDetail) -> Text:
    return Text(node.presence.value.replace("_", " "), _STYLES[node.presence])


def _jobs(node: NodeDetail) -> Text:
    return Text("available", "green") if node.available else Text("unavailable", "red")


def _time(moment: Optional[datetime]) -> Optional[str]:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"

"""Jobs and nodes as tables for people; every text from elsewhere goes through ``printing.cell``."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import datetime
from typing import List, Mapping, Optional, Sequence, Tuple

from rich.text import Text

from push_jobs.durations import show_duration
from push_jobs.models import (
    Cancellation,
    Identity,
    Job,
    JobCancel,
    JobSummary,
    NodeResult,
    NodeState,
    Outcome,
)
from push_jobs.printing import cell, notice, print_pairs, print_table, print_text
from push_jobs_wire.states import NodeStatus

_GOOD = ("complete", "succeeded", "available", "online")
_OPEN = ("new", "voting", "ready", "running", "was_ready")


def print_jobs(jobs: Sequence[JobSummary]) -> None:
    """Print a list of jobs that has its newest job last, the newest first."""
    rows = [
        (
            cell(job.id),
            _word(job.status.value),
            _moment(job.created_at),
            cell(job.requestor),
            cell(job.command),
        )
        for job in reversed(jobs)
    ]
    print_table(("JOB", "STATUS", "CREATED", "STARTED BY", "COMMAND"), rows)


def print_job(job: Job) -> None:
    """Print what was asked for, then the nodes."""
    print_pairs(_facts(job))
    print_text(Text())
    print_results(job.nodes)


def print_results(nodes: Sequence[NodeResult]) -> None:
    """Print how each node of a job ended, or how far it is."""
    rows = [
        (
            cell(node.name),
            _word(node.status.value),
            cell(_ending(node)),
            cell(None if node.seconds is None else show_duration(node.seconds)),
            cell(_remark(node)),
        )
        for node in nodes
    ]
    print_table(("NODE", "STATUS", "EXIT", "TIME", "REASON"), rows)


def print_cancellation(answer: Cancellation) -> None:
    """Print what a cancel meant for each node."""
    rows = [
        (cell(node.name), cell(node.effect.value), _word(node.status.value))
        for node in answer.nodes
    ]
    print_table(("NODE", "CANCEL", "STATUS"), rows)


def print_nodes(nodes: Sequence[NodeState]) -> None:
    """Print the list of nodes."""
    if not nodes:
        notice("no node is connected")
        return
    print_table(("NODE", "STATUS", "JOBS"), [_node_row(node) for node in nodes])


def print_node(node: NodeState) -> None:
    """Print one node."""
    names = ("node", "status", "jobs")
    print_pairs(zip(names, _node_row(node)))


def print_identity(found: Identity) -> None:
    """Print who somebody is, then his rights."""
    member = "yes" if found.member else "no"
    print_pairs(
        [
            ("name", cell(f"{found.name} ({found.kind})")),
            ("organization", cell(found.organization)),
            ("member", cell(member)),
        ]
    )
    print_text(Text())
    rights = (
        ("look at jobs and nodes", found.read),
        ("start and cancel jobs", found.write),
        ("fetch own node's settings", found.settings),
    )
    rows = [
        (cell(what), cell("yes" if right.allowed else "no"), cell(right.rule))
        for what, right in rights
    ]
    print_table(("MAY", "ALLOWED", "RULE"), rows)


def count_nodes(count: int) -> str:
    """Return ``1 node`` or ``2 nodes``."""
    return f"{count} node" if count == 1 else f"{count} nodes"


def summary(job: Job) -> str:
    """Return one line on how the job ended."""
    counts = Counter(node.status for node in job.nodes)
    succeeded = counts.pop(NodeStatus.SUCCEEDED, 0)
    text = f"{job.status.value}: {succeeded} of {count_nodes(len(job.nodes))} succeeded"
    others = ", ".join(
        f"{counts[status]} {status.value}" for status in NodeStatus if counts[status]
    )
    return f"{text}; {others}" if others else text


def _facts(job: Job) -> List[Tuple[str, Text]]:
    facts = [
        ("job", cell(job.id)),
        ("command", cell(job.command)),
        ("status", _word(job.status.value)),
        ("started by", cell(f"{job.requestor} ({job.requestor_kind})")),
        ("created", _moment(job.created_at)),
        ("updated", _moment(job.updated_at)),
        ("quorum", cell(f"{job.quorum} of {len(job.nodes)}")),
        ("timeout", cell(show_duration(job.run_timeout))),
        ("output", cell("kept" if job.capture else "not kept")),
    ]
    given = {
        "user": job.user,
        "directory": job.dir,
        "environment": _environment(job.env),
    }
    facts += [(name, cell(value)) for name, value in given.items() if value is not None]
    facts += [("cancelled", cell(_cancelled(each, len(job.nodes)))) for each in job.cancels]
    return facts + ([("file", cell("sent along"))] if job.file_specified else [])


def _cancelled(cancel: JobCancel, total: int) -> str:
    where = "" if len(cancel.nodes) == total else f" on {', '.join(cancel.nodes)}"
    why = "" if cancel.reason is None else f": {cancel.reason}"
    by = f"by {cancel.requestor} ({cancel.requestor_kind})"
    return f"{cancel.at:%Y-%m-%d %H:%M:%S}Z {by}{where}{why}"


def _environment(env: Optional[Mapping[str, str]]) -> Optional[str]:
    return " ".join(f"{key}={value}" for key, value in sorted(env.items())) if env else None


def _node_row(node: NodeState) -> Tuple[Text, Text, Text]:
    online = "online" if node.online else "offline"
    available = "available" if node.available else "unavailable"
    return cell(node.name), _word(online), _word(available)


def _ending(outcome: Outcome) -> Optional[str]:
    """Return the exit code, or the name of the signal that ended the command."""
    if outcome.signal is None:
        return None if outcome.exit_code is None else str(outcome.exit_code)
    try:
        return signal.Signals(outcome.signal).name
    except ValueError:
        return f"signal {outcome.signal}"


def _remark(node: NodeResult) -> Optional[str]:
    if node.late is None:
        return node.reason
    ending = _ending(node.late)
    late = f"later reported {node.late.status.value}" + (f", exit {ending}" if ending else "")
    return "; ".join(filter(None, (node.reason, late, node.late.reason)))


def _word(word: str) -> Text:
    return Text(word, "green" if word in _GOOD else "yellow" if word in _OPEN else "red")


def _moment(moment: datetime) -> Text:
    return Text(f"{moment:%Y-%m-%d %H:%M:%S}Z")

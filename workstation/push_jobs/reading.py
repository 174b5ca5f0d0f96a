"""Turns a server's JSON into the records of ``push_jobs.models``, and distrusts all of it.

Every missing or wrong field becomes a BadAnswer that names it; unknown fields are ignored.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from push_jobs.errors import BadAnswer
from push_jobs.models import (
    Cancellation,
    CancelledNode,
    Identity,
    Job,
    JobCancel,
    JobSummary,
    NodeResult,
    NodeState,
    Outcome,
    Right,
)
from push_jobs.node_models import Presence
from push_jobs.terminal import escape_line
from push_jobs_wire.states import CancelEffect, JobStatus, NodeStatus

T = TypeVar("T")
Word = TypeVar("Word", JobStatus, NodeStatus, CancelEffect, Presence)


class Fields:
    """Typed access to one JSON object; ``what`` names it in errors."""

    def __init__(self, value: object, what: str) -> None:
        self._what = what
        self._values: Mapping[str, Any] = self._typed(value, dict, what)

    def need(self, key: str, kind: Type[T]) -> T:
        """Return the value of ``key``; raises BadAnswer when it is absent or not a ``kind``."""
        if key not in self._values:
            raise BadAnswer(f"the server's answer is incomplete: {self._what} lacks '{key}'")
        return self._typed(self._values[key], kind, f"{self._what}: '{key}'")

    def may(self, key: str, kind: Type[T]) -> Optional[T]:
        """Return the value of ``key``, or None when it is absent or null."""
        return None if self._values.get(key) is None else self.need(key, kind)

    def number(self, key: str) -> Optional[float]:
        """Return a number, or None when it is absent or null."""
        whole = isinstance(self._values.get(key), int)
        value: Union[int, float, None] = self.may(key, int) if whole else self.may(key, float)
        return None if value is None else float(value)

    def names(self, key: str) -> Tuple[str, ...]:
        """Return a list of names that has to be there."""
        names = self.need(key, list)
        return tuple(self._typed(name, str, f"{self._what}: a name in '{key}'") for name in names)

    def word(self, key: str, words: Type[Word]) -> Word:
        """Return a status; raises BadAnswer for a word that is not in the table."""
        text = self.need(key, str)
        try:
            return words(text)
        except ValueError:
            raise BadAnswer(f"{self._what}: unknown {key} '{escape_line(text)}'") from None

    def time(self, key: str, parse: Callable[[str], datetime]) -> Optional[datetime]:
        """Return a moment in UTC, or None when it is absent or null."""
        text = self.may(key, str)
        try:
            value = None if text is None else parse(text)
        except (ValueError, TypeError, OverflowError):
            raise BadAnswer(f"{self._what}: '{key}' is not a time") from None
        if value is None or value.tzinfo is None:
            return value and value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)

    def moment(self, key: str, parse: Callable[[str], datetime]) -> datetime:
        """Return a moment in UTC that has to be there."""
        self.need(key, str)
        value = self.time(key, parse)
        assert value is not None
        return value

    def texts(self, key: str) -> Optional[Dict[str, str]]:
        """Return an object of strings, or None when it is absent or null."""
        values = self.may(key, dict)
        if values is None:
            return None
        return {
            name: self._typed(text, str, f"{self._what}: '{key}'") for name, text in values.items()
        }

    @staticmethod
    def _typed(value: object, kind: Type[T], what: str) -> T:
        # A bool is an int to Python, but not to JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BadAnswer(f"the server's answer is wrong: {what} is not {_NAMES[kind]}")
        return value


_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def read_job(value: object) -> Job:
    """Read the detailed record of a job."""
    fields = Fields(value, "job")
    return Job(
        id=fields.need("id", str),
        command=fields.need("command", str),
        status=fields.word("status", JobStatus),
        requestor=fields.need("requestor", str),
        requestor_kind=fields.need("requestor_kind", str),
        quorum=fields.need("quorum", int),
        run_timeout=fields.need("run_timeout", int),
        capture=fields.need("capture", bool),
        created_at=fields.moment("created_at", iso),
        updated_at=fields.moment("updated_at", iso),
        voting_deadline=fields.time("voting_deadline", iso),
        run_deadline=fields.time("run_deadline", iso),
        user=fields.may("user", str),
        dir=fields.may("dir", str),
        env=fields.texts("env"),
        file_specified=fields.need("file_specified", bool),
        nodes=tuple(_node_result(node) for node in fields.need("nodes", list)),
        cancels=tuple(_cancel(each) for each in fields.may("cancels", list) or ()),
    )


def read_cancellation(value: object) -> Cancellation:
    """Read the answer to a cancel."""
    fields = Fields(value, "cancel")
    nodes = [Fields(node, "node of the cancel") for node in fields.need("nodes", list)]
    return Cancellation(
        fields.need("id", str),
        fields.word("status", JobStatus),
        tuple(
            CancelledNode(
                node.need("name", str),
                node.word("cancel", CancelEffect),
                node.word("status", NodeStatus),
            )
            for node in nodes
        ),
    )


def read_page(value: object) -> Tuple[List[JobSummary], Optional[str]]:
    """Read a page of jobs, and what leads to the next one if there is one."""
    page = Fields(value, "list of jobs")
    jobs = [_summary(Fields(item, "job")) for item in page.need("jobs", list)]
    return jobs, page.may("next", str)


def read_nodes(value: object) -> List[NodeState]:
    """Read the list of connected nodes (pushy-api 4.7)."""
    nodes = [Fields(item, "node") for item in _items(value, "list of nodes")]
    return [NodeState(node.need("node_name", str), True, _available(node)) for node in nodes]


def read_node(value: object) -> NodeState:
    """Read the state of one node (pushy-api 4.7)."""
    node = Fields(value, "node")
    online = node.need("status", str) == "online"
    return NodeState(node.need("node_name", str), online, _available(node))


def read_identity(value: object) -> Identity:
    """Read who the server takes a caller for."""
    found = Fields(value, "identity")
    read, write, settings = (
        Right(right.need("allowed", bool), right.need("rule", str))
        for right in (
            Fields(found.need(name, dict), name) for name in ("read", "write", "settings")
        )
    )
    return Identity(
        found.need("name", str),
        found.need("kind", str),
        found.need("organization", str),
        found.need("member", bool),
        read,
        write,
        settings,
    )


def read_uri(value: object) -> str:
    """Read the address of a job that was just created (pushy-api 4.3)."""
    return Fields(value, "new job").need("uri", str)


def _items(value: object, what: str) -> List[object]:
    if not isinstance(value, list):
        raise BadAnswer(f"the server's answer is wrong: the {what} is not a list")
    return value


def _available(node: Fields) -> bool:
    return node.need("availability", str) == "available"


def _summary(fields: Fields) -> JobSummary:
    return JobSummary(
        id=fields.need("id", str),
        command=fields.need("command", str),
        status=fields.word("status", JobStatus),
        requestor=fields.need("requestor", str),
        requestor_kind=fields.need("requestor_kind", str),
        run_timeout=fields.need("run_timeout", int),
        created_at=fields.moment("created_at", iso),
        updated_at=fields.moment("updated_at", iso),
        capture=fields.need("capture", bool),
        file_specified=fields.need("file_specified", bool),
        user=fields.may("user", str),
        dir=fields.may("dir", str),
        env=fields.texts("env"),
    )


def _cancel(value: object) -> JobCancel:
    fields = Fields(value, "cancel of the job")
    return JobCancel(
        requestor=fields.need("requestor", str),
        requestor_kind=fields.need("requestor_kind", str),
        at=fields.moment("at", iso),
        grace=fields.number("grace"),
        reason=fields.may("reason", str),
        nodes=fields.names("nodes"),
    )


def _node_result(value: object) -> NodeResult:
    fields = Fields(value, "node of the job")
    late = fields.may("late", dict)
    return NodeResult(
        name=fields.need("name", str),
        late=None if late is None else _outcome(Fields(late, "late result")),
        **vars(_outcome(fields)),
    )


def _outcome(fields: Fields) -> Outcome:
    return Outcome(
        status=fields.word("status", NodeStatus),
        exit_code=fields.may("exit_code", int),
        signal=fields.may("signal", int),
        reason=fields.may("reason", str),
        started_at=fields.time("started_at", iso),
        ended_at=fields.time("ended_at", iso),
    )


def iso(text: str) -> datetime:
    """Read a time as our own representations have it."""
    # Python 3.9 knows no Z.
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)

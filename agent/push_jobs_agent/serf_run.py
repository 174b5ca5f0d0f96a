"""One run over Serf: what is known of it, what its server has still to be told. Pure.

A run is told in order: that it runs, its output chunk by chunk, the last chunk of both channels,
how it ended. Only one thing is on its way at a time; a server of ours takes the last chunks with
the end, and a short run as a whole. A cancelled run is told no end, because a goiardi would take it
for the truth.
Sources: shovey 2.5, 2.7, 2.8, 5.4; checklist 8, agent 4 to 8.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from push_jobs_agent.run_output import Channel
from push_jobs_agent.run_verdict import Verdict
from push_jobs_agent.spooled import SpooledJob
from push_jobs_wire import shovey, shovey_words
from push_jobs_wire.messages import EXTENSIONS, STREAMS

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds until something that the server did not take is said again, at first and at last."""

SHORT = 0.01
"""Seconds that a run has to end before it is told that it runs, to a server of ours."""

_VERSION: Mapping[str, Any] = {"protocol_major": 0, "protocol_minor": 1}


class Phase(Enum):
    """How far a run has come."""

    NEW = "new"
    """The runner has not said yet that it started it."""
    RUNNING = "running"
    ENDED = "ended"
    """Nothing of it runs any more; its server does not know all of it yet."""
    DONE = "done"
    """All is told; its folder in the spool may go."""


class Kind(Enum):
    """What is told."""

    RUNNING = "running"
    CHUNK = "chunk"
    END = "end"


class Letter(NamedTuple):
    """Something to be told: where it goes, what it says, the channels whose chunks are in it."""

    kind: Kind
    path: str
    body: bytes
    channels: Tuple[Channel, ...] = ()


class Run:
    """A run of this node.

    Args:
        job_id: 32 hex digits.
        node: the name of this node.
        command: what the server wants to be run.
        timeout: seconds, or None.
        extended: the server is one of ours.

    Attributes:
        spooled: the runner has, or may have, a folder of it.
        volatile: it was made of a message that does not count; it is never written down.
        cancelled: the server does not want it any more, and has its own word for the end.
        verdict: how it ended.
        told_running, told_end: the server knows.
        muted: the server knows nothing of it: nothing is told any more.
        asked: the runner was asked to start it and has not answered.
        fresh: it came in the life of this process.
        reading: bytes of its output are being read.
        unreachable: the server could not be reached with what was said last.
        letter, number: what is on its way, and the number of its ``Put``.
        due: when it may be said again, in steady seconds.
        patience: until when it waits for a runner.
    """

    def __init__(
        self,
        job_id: str,
        node: str,
        command: str,
        timeout: Optional[int],
        extended: bool = False,
    ) -> None:
        self.job_id = job_id
        self.run_id = shovey.job_uuid(job_id)
        self.command = command
        self.timeout = timeout
        self.extended = extended
        self.phase = Phase.NEW
        self.spooled = False
        self.volatile = False
        self.cancelled = False
        self.verdict: Optional[Verdict] = None
        self.told_running = False
        self.told_end = False
        self.muted = False
        self.asked = False
        self.fresh = True
        self.reading = False
        self.unreachable = False
        self.patience: Optional[float] = None
        self.letter: Optional[Letter] = None
        self.number = 0
        self.due = float("-inf")
        self.channels: List[Channel] = [Channel(stream) for stream in STREAMS]
        self._stderr_first = False
        self._node = node
        self._pause = FIRST_PAUSE

    # On the disk

    def record(self) -> Dict[str, Any]:
        """What the next agent has to know."""
        return {
            "command": self.command,
            "timeout": self.timeout,
            "extended": self.extended,
            "phase": self.phase.value,
            "spooled": self.spooled,
            "cancelled": self.cancelled,
            "verdict": None if self.verdict is None else vars(self.verdict),
            "told_running": self.told_running,
            "told_end": self.told_end,
            "muted": self.muted,
            "channels": {channel.stream: channel.record() for channel in self.channels},
        }

    @classmethod
    def restored(cls, job_id: str, node: str, record: Mapping[str, Any]) -> "Run":
        """A run as an earlier agent left it.

        Raises KeyError, TypeError, ValueError or LocalError for a record that is none.
        """
        extended = bool(record.get("extended"))
        run = cls(job_id, node, str(record["command"]), record["timeout"], extended)
        run.phase = Phase(record["phase"])
        run.fresh = False
        for name in ("spooled", "cancelled", "told_running", "told_end", "muted"):
            setattr(run, name, bool(record[name]))
        if record["verdict"] is not None:
            run.verdict = Verdict(**record["verdict"])
        channels = record["channels"]
        run.channels = [Channel.restored(stream, channels[stream]) for stream in STREAMS]
        for channel in run.channels:
            channel.grown(0, ended=run.phase is Phase.ENDED)
        return run

    # What happens

    @property
    def open(self) -> bool:
        """True while it runs, or may."""
        return self.phase in (Phase.NEW, Phase.RUNNING)

    def started(self) -> None:
        """The runner has it."""
        self.phase, self.asked, self.spooled = Phase.RUNNING, False, True
        self.patience = None

    def wait_for_end(self, now: float) -> None:
        """Say nothing for a moment to a server of ours, which takes all of a short run at once."""
        if self.extended:
            self.due = now + SHORT

    def grown(self, job: SpooledJob) -> None:
        """The runner tells how much it has printed."""
        for channel, size in zip(self.channels, job.sizes):
            channel.grown(size, ended=job.ended)

    def end(self, verdict: Verdict) -> None:
        """Nothing of it runs any more, and no output comes."""
        self.phase, self.asked, self.verdict = Phase.ENDED, False, verdict
        self.patience = None
        if not self.number:
            self.due = float("-inf")
        for channel in self.channels:
            channel.grown(0, ended=True)

    def refused(self, now: float, unreachable: bool) -> float:
        """The server did not take what was said; returns the seconds until it is said again."""
        self.letter, self.unreachable = None, unreachable
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self.due = now + pause
        return pause

    def taken(self) -> Kind:
        """The server has what was said, or will never have it."""
        assert self.letter is not None
        letter, self.letter = self.letter, None
        self._pause, self.due, self.unreachable = FIRST_PAUSE, float("-inf"), False
        for channel in letter.channels:
            channel.taken()
        if letter.kind is Kind.RUNNING:
            self.told_running = True
        elif letter.kind is Kind.CHUNK:
            self._stderr_first = not self._stderr_first
        else:
            self.told_end = True
        return letter.kind

    # What is to be told

    @property
    def complete(self) -> bool:
        """True when an end has nothing before it that is not told."""
        return self.phase is Phase.ENDED and not any(self.untold())

    def untold(self) -> Iterator[Channel]:
        """The channels that have still something to say."""
        verdict = self.verdict
        silent = verdict is not None and verdict.status in shovey_words.NO_OUTPUT
        if not (silent or self.muted) and self.phase in (Phase.RUNNING, Phase.ENDED):
            turns = reversed(self.channels) if self._stderr_first else self.channels
            yield from (channel for channel in turns if not channel.closed)

    def next_letter(self) -> Optional[Letter]:
        """What has to be told next; chunks only when their bytes have been read."""
        if self.muted or self.phase in (Phase.NEW, Phase.DONE):
            return None
        if self._tells_running():
            return self._report(Kind.RUNNING, Verdict("running"))
        untold = tuple(self.untold())
        for channel in untold:
            if channel.text is not None and not self._goes_with_end(channel):
                return Letter(
                    Kind.CHUNK, self._path("stream"), self._body(_chunk(channel)), (channel,)
                )
        ended = self.phase is Phase.ENDED and not self.cancelled
        if ended and self.verdict is not None and all(map(self._goes_with_end, untold)):
            return self._report(Kind.END, self.verdict, untold)
        return None

    def _tells_running(self) -> bool:
        """An end tells a server of ours that the run had begun, too."""
        over = self.extended and self.phase is Phase.ENDED
        return self.spooled and not (self.told_running or self.cancelled or over)

    def _goes_with_end(self, channel: Channel) -> bool:
        """True when what is left of a channel can be told together with the end."""
        last = channel.text is not None and channel.chunk is not None and channel.chunk.last
        return self.extended and last and not self.cancelled

    def _report(self, kind: Kind, verdict: Verdict, last: Sequence[Channel] = ()) -> Letter:
        fields: Dict[str, Any] = {
            "status": verdict.status,
            "exit_status": verdict.exit_status,
            "error": verdict.error,
            # Signed by this node, so a server of ours may believe it; a goiardi does not read it.
            "extensions": EXTENSIONS,
        }
        if last:
            fields["chunks"] = [_chunk(channel) for channel in last]
        if self.extended and verdict.seconds is not None and not self.told_running:
            fields["seconds"] = verdict.seconds
        return Letter(kind, self._path("jobs"), self._body(fields), tuple(last))

    def _path(self, what: str) -> str:
        return f"/shovey/{what}/{self.run_id}/{quote(self._node, safe=':')}"

    def _body(self, fields: Mapping[str, Any]) -> bytes:
        whole = {"node_name": self._node, "run_id": self.run_id, **fields, **_VERSION}
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        # What came in a message may hold halves of a pair, which no UTF-8 has.
        return text.encode("utf-8", "replace")


def _chunk(channel: Channel) -> Dict[str, Any]:
    assert channel.chunk is not None
    return {
        "seq": channel.chunk.seq,
        "is_last": channel.chunk.last,
        "output_type": channel.stream,
        "output": channel.text,
    }

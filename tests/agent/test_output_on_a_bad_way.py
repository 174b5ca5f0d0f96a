"""Output over a way that loses messages: the agent's end and the server's, without sockets."""

from __future__ import annotations

from collections import deque
from typing import Deque, Iterator, List, Tuple

from agent_desk import JOB, ORIGIN, START, server_settings
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_agent.actions import ReadPart, Send
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.spooled import SpooledJob
from push_jobs_agent.streams import Streams
from push_jobs_server.engine.output import CREDIT, OutputIntake
from push_jobs_server.store.output_statements import joined
from push_jobs_wire import messages
from push_jobs_wire.messages import Output, OutputAck

LIMIT = 1 << 20
TAKEN, LOST, REFUSED, CUT = "taken", "lost", "refused", "cut"
"""What becomes of a message; ``CUT``: it is lost and the agent sees a new connection after it."""


def printed(size: int) -> SpooledJob:
    """A job that has printed so much."""
    return SpooledJob(JOB, capture=True, stdout_size=size)


class Way:
    """Both ends and what is between them; ``kept`` is how much of the output the spool has."""

    def __init__(self, content: bytes, fates: List[str]) -> None:
        self.content = content
        self.gone = 0
        self._fates: Iterator[str] = iter(fates)
        self._outbox = Outbox(ORIGIN, 4096)
        self._outbox.address(server_settings())
        self.streams = Streams(self._outbox)
        self._intake = OutputIntake(LIMIT)
        self._intake.begin(JOB)
        self._chunks: List[Tuple[int, bytes]] = []
        self._acks: Deque[OutputAck] = deque()

    def printed(self, size: int, gone: int) -> None:
        """The job has printed so much by now, of which the spool let the first bytes go."""
        self.gone = gone
        self.streams.hold(printed(size))
        self.run()

    def mend(self) -> None:
        """From now on nothing is lost, on a new connection."""
        self._fates = iter(())
        self.streams.connected()
        self.run()

    def run(self) -> None:
        """Let both ends speak until they have nothing to say."""
        self.streams.pump(START)
        while self._carry_out() or self._acks:
            if self._acks:
                self.streams.acknowledged(self._acks.popleft())
            self.streams.pump(START)

    def _carry_out(self) -> bool:
        actions = self._outbox.take()
        for action in actions:
            if isinstance(action, ReadPart):
                begin = max(action.offset, self.gone)
                data = self.content[begin : begin + action.most]
                self.streams.part_read(action, begin, data, START)
            elif isinstance(action, Send):
                self._send(action)
        return bool(actions)

    def _send(self, send: Send) -> None:
        fate = next(self._fates, TAKEN)
        if fate == TAKEN:
            self._arrive(messages.decode_node(messages.load(send.body)))
        elif fate == REFUSED:
            assert send.output is not None
            self.streams.not_taken(send.output)
        elif fate == CUT:
            self.streams.connected()

    def _arrive(self, output: object) -> None:
        assert isinstance(output, Output)
        follows = self._intake.follows(JOB, "web1", output)
        if follows:
            new = self._intake.take("acme", JOB, "web1", output)
            self._chunks += [(chunk.offset, chunk.data) for chunk in new]
        end = self._intake.end(JOB, "web1", "stdout")
        self._acks.append(OutputAck(JOB, "stdout", end, CREDIT, not follows))

    @property
    def stored(self) -> bytes:
        """What a reader is shown."""
        return joined(self._chunks, LIMIT)


CONTENT = b"".join(b"%d\n" % number for number in range(4000))
FATES = st.lists(st.sampled_from([TAKEN, TAKEN, LOST, REFUSED, CUT]), max_size=12)


@given(FATES, st.lists(st.integers(1, len(CONTENT)), max_size=8))
def test_whatever_gets_lost_all_is_there_in_the_end(fates: List[str], sizes: List[int]) -> None:
    way = Way(CONTENT, fates)
    for size in [*sorted(sizes), len(CONTENT)]:
        way.printed(size, 0)
    way.mend()
    assert way.stored == CONTENT
    assert way.streams.done(printed(len(CONTENT)))


@given(FATES, st.integers(0, 9000), st.integers(9001, 15000))
def test_what_the_spool_let_go_is_marked_and_nothing_else_is(
    fates: List[str], before: int, gone: int
) -> None:
    way = Way(CONTENT, fates)
    way.printed(before, 0)
    way.printed(len(CONTENT), gone)
    way.mend()
    head, mark, tail = way.stored.partition(b"\n[... ")
    assert CONTENT.startswith(head) and len(head) <= before
    missing, _, tail = tail.partition(b" bytes left out ...]\n")
    assert mark and int(missing) == gone - len(head)
    assert tail == CONTENT[gone:]

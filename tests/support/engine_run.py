"""A running engine thread and a job through it, whatever the transport is."""

from __future__ import annotations

import time
from typing import Callable, Dict, Hashable, Optional, Sequence, Tuple, Union

from engine_desk import KEYS, request

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.core import Engine, EngineRules
from push_jobs_server.engine.thread import EngineThread, Listener
from push_jobs_server.feeds.hub import FeedRules
from push_jobs_server.feeds.readers import Feeds
from push_jobs_server.records import Change, JobRecord
from push_jobs_server.transports.base import Transport
from push_jobs_wire.framing import format_timestamp, seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Origin, Reply, encode_node
from push_jobs_wire.states import NodeInput

KEY = KEYS["acme", "a"]
PATIENCE = 20.0
"""Seconds until a test gives up waiting."""

Log = Callable[[str, Dict[str, object]], None]


class InstantWriter:
    """Stores at once and says so."""

    failing = False
    behind = False
    report: Callable[..., None]

    def submit(self, token: Hashable, changes: Sequence[Change]) -> None:
        """See ``ChangeWriter.submit``."""
        self.report([token], None)


def _ignore(event: str, details: Dict[str, object]) -> None:
    pass


def frames(
    message: Union[Heartbeat, Reply], sequence: int, node: str = "a", key: bytes = KEY
) -> Tuple[bytes, bytes]:
    """What a node of acme would send now."""
    stamp = format_timestamp(time.time())
    body = encode_node(Origin("acme", node, "one"), message, sequence, stamp)
    return seal_hmac(key, body), body


def thread_of(
    transport: Transport,
    access: Access,
    log: Log = _ignore,
    rules: EngineRules = EngineRules(),
    unfinished: Sequence[JobRecord] = (),
    listener: Optional[Listener] = None,
) -> EngineThread:
    """A started thread whose engine has incarnation ``run-1``; end it with ``finish``."""
    engine = Engine(rules, "run-1", access, unfinished, time.time(), log)
    writer = InstantWriter()
    feeds = listener or Feeds(FeedRules(), 1, "run-1")
    thread = EngineThread(engine, transport, writer, lambda body: b"header", 10.0, feeds)
    writer.report = thread.stored
    thread.start()
    return thread


def run_a_job(
    thread: EngineThread, send: Callable[[Tuple[bytes, bytes]], None], read: Callable[[], str]
) -> None:
    """A job from vote to complete; ``send`` speaks for the node, ``read`` is what it hears next."""
    send(frames(Heartbeat(extensions=1, jobs=()), 1))
    assert read() == "ack"
    made = request(("a",))
    assert thread.ask(lambda engine, answer: engine.starts.ask("j1", made, answer)) == "j1"
    assert read() == "commit"
    send(frames(Reply(NodeInput.ACK_COMMIT, JobRef("j1")), 2))
    assert read() == "run"
    send(frames(Reply(NodeInput.ACK_RUN, JobRef("j1")), 3))
    send(frames(Reply(NodeInput.SUCCEEDED, JobRef("j1")), 4))
    assert read() == "confirm"
    status = thread.ask(lambda engine, answer: answer(engine.jobs.by_id["j1"].status.value))
    assert status == "complete"


def finish(thread: EngineThread) -> None:
    """Stop the thread, which closes its transport."""
    thread.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()

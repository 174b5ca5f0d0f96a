"""The engine's thread over the in-memory transport; real sockets are used by tests/e2e."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Hashable, Sequence, Tuple

import pytest
from engine_desk import KEYS, request

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.core import Engine, EngineRules
from push_jobs_server.engine.thread import EngineThread
from push_jobs_server.records import Change
from push_jobs_server.transports.base import Transport
from push_jobs_server.transports.memory import MemoryTransport
from push_jobs_wire.framing import format_timestamp, seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Origin, Reply, encode_node
from push_jobs_wire.states import NodeInput

KEY = KEYS["acme", "a"]
PATIENCE = 20.0


class InstantWriter:
    """Stores at once and says so."""

    failing = False
    behind = False
    report: Callable[..., None]

    def submit(self, token: Hashable, changes: Sequence[Change]) -> None:
        self.report([token], None)


def frames(message: "Heartbeat | Reply", sequence: int) -> Tuple[bytes, bytes]:
    stamp = format_timestamp(time.time())
    body = encode_node(Origin("acme", "a", "one"), message, sequence, stamp)
    return seal_hmac(KEY, body), body


def thread_of(transport: Transport, access: Access) -> EngineThread:
    engine = Engine(EngineRules(), "run-1", access, (), time.time(), lambda event, details: None)
    writer = InstantWriter()
    thread = EngineThread(engine, transport, writer, lambda body: b"header", 10.0)
    writer.report = thread.stored
    thread.start()
    return thread


def until(look: Callable[[], Any]) -> Any:
    """Poll until something is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("nothing came in time")


def run_a_job(
    thread: EngineThread, send: Callable[[Tuple[bytes, bytes]], None], read: Callable[[], str]
) -> None:
    send(frames(Heartbeat(extensions=1, jobs=()), 1))
    assert read() == "ack"
    made = request(("a",))
    assert thread.ask(lambda engine, answer: engine.start_job("j1", made, answer)) == "j1"
    assert read() == "commit"
    send(frames(Reply(NodeInput.ACK_COMMIT, JobRef("j1")), 2))
    assert read() == "run"
    send(frames(Reply(NodeInput.ACK_RUN, JobRef("j1")), 3))
    send(frames(Reply(NodeInput.SUCCEEDED, JobRef("j1")), 4))
    assert read() == "confirm"
    status = thread.ask(lambda engine, answer: answer(engine.jobs["j1"].status.value))
    assert status == "complete"


def finish(thread: EngineThread) -> None:
    thread.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_job_over_memory() -> None:
    transport = MemoryTransport()
    thread = thread_of(transport, Access(KEYS, ()))
    peer = transport.connect("acme/a")

    def read() -> str:
        until(lambda: peer.inbox)
        return str(json.loads(peer.inbox.popleft()[1])["type"])

    try:
        run_a_job(thread, peer.send, read)
        beat = json.loads(until(lambda: transport.beats)[0][1])
        assert (beat["type"], beat["incarnation_id"]) == ("heartbeat", "run-1")
        with pytest.raises(KeyError):
            thread.ask(lambda engine, answer: answer(engine.jobs["none"]))
    finally:
        finish(thread)

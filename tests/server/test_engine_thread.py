"""The engine's thread over the in-memory transport; test_engine_zeromq has real sockets."""

from __future__ import annotations

import json

import pytest
from engine_desk import KEYS
from engine_run import finish, run_a_job, thread_of
from waiting import wait_until

from push_jobs_server.engine.access import Access
from push_jobs_server.transports.memory import MemoryTransport


def test_a_job_over_memory() -> None:
    transport = MemoryTransport()
    thread = thread_of(transport, Access(KEYS, ()))
    peer = transport.connect("acme/a")

    def read() -> str:
        wait_until(lambda: peer.inbox)
        return str(json.loads(peer.inbox.popleft()[1])["type"])

    try:
        run_a_job(thread, peer.send, read)
        beat = json.loads(wait_until(lambda: transport.beats)[0][1])
        assert (beat["type"], beat["incarnation_id"]) == ("heartbeat", "run-1")
        with pytest.raises(KeyError):
            thread.ask(lambda engine, answer: answer(engine.jobs.by_id["none"]))
    finally:
        finish(thread)

"""The ZeroMQ transport over real CURVE sockets, against a server of raw sockets."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from raw_server import PATIENCE, RawServer, key_of

from push_jobs_agent.server_settings import ServerSettings, read_answer
from push_jobs_agent.transports.base import Incoming, Kind
from push_jobs_agent.transports.zeromq import ZeroMQTransport


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    server = RawServer(tmp_path, interval=0.1)
    yield server
    server.close()


@pytest.fixture
def transport() -> Iterator[ZeroMQTransport]:
    transport = ZeroMQTransport()
    yield transport
    transport.close()


def settings_of(server: RawServer, **changes: Any) -> ServerSettings:
    answer = dict(server.settings(key_of("web1").public_key()), **changes)
    numbers = key_of("server").public_key().public_numbers()
    return read_answer(answer, numbers.n, numbers.e, server.session_key)


def wait_for(
    server: RawServer, transport: ZeroMQTransport, done: Callable[[List[Incoming]], bool]
) -> List[Incoming]:
    """All that came in until it is enough."""
    incoming: List[Incoming] = []
    deadline = time.monotonic() + PATIENCE
    while not done(incoming):
        assert time.monotonic() < deadline, incoming
        server.serve(0)
        transport.wait([], [], 0.01)
        incoming += transport.receive(100)
    return incoming


def kind(wanted: Kind) -> Callable[[List[Incoming]], bool]:
    return lambda incoming: any(news.kind is wanted for news in incoming)


def connect(server: RawServer, transport: ZeroMQTransport) -> None:
    server.admit(transport.public_key)
    transport.open(settings_of(server))
    wait_for(server, transport, kind(Kind.CONNECTED))


@pytest.mark.proves("P-9a", "P-13d")
def test_frames_travel_both_ways_and_heartbeats_come(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    connect(server, transport)
    assert transport.send((b"header", b"body"))
    server.until(lambda: bool(server.bad), "a message that is no good")
    assert server.identity[0] == 0  # chosen by the ROUTER, so we set no routing id
    for frames in ((b"one",), (b"one", b"two"), (b"one", b"two", b"three")):
        server.say_raw(*frames)
    found = wait_for(server, transport, lambda all: len(_commands(all)) == 3)
    assert [len(news.frames) for news in _commands(found)] == [1, 2, 3]
    beats = wait_for(server, transport, kind(Kind.BROADCAST))
    assert any(b"heartbeat" in beat.frames[1] for beat in beats if beat.kind is Kind.BROADCAST)


def _commands(incoming: List[Incoming]) -> List[Incoming]:
    return [news for news in incoming if news.kind is Kind.COMMAND]


def test_a_key_that_is_not_admitted_is_refused(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    transport.open(settings_of(server))
    [news] = [n for n in wait_for(server, transport, kind(Kind.REFUSED)) if n.kind is Kind.REFUSED]
    assert "does not admit our key" in news.detail


def test_a_server_with_another_key_is_refused(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    server.admit(transport.public_key)
    transport.open(settings_of(server, curve_public_key=transport.public_key))
    news = wait_for(server, transport, kind(Kind.REFUSED))
    assert not kind(Kind.CONNECTED)(news)


def test_a_lost_connection_is_told_and_comes_back_by_itself(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    connect(server, transport)
    server.close_command()
    wait_for(server, transport, kind(Kind.LOST))
    server.open_command(server.command_addr)
    wait_for(server, transport, kind(Kind.CONNECTED))
    assert transport.send((b"header", b"body"))
    server.until(lambda: bool(server.bad), "a message that is no good")


@pytest.mark.proves("P-9b")
def test_no_more_than_a_few_messages_wait_for_a_server_that_is_away(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    transport.open(settings_of(server, push_jobs=_elsewhere(server)))
    taken = [transport.send((b"header", b"body")) for _ in range(10)]
    assert 1 < taken.count(True) < 4


def _elsewhere(server: RawServer) -> Any:
    beats = server.settings(key_of("web1").public_key())["push_jobs"]["heartbeat"]
    return {"heartbeat": dict(beats, command_addr="tcp://127.0.0.1:1")}


@pytest.mark.parametrize("key", ["\x00" * 40, "ü" * 40])
def test_a_server_key_that_is_none_is_a_refusal_and_no_error(
    server: RawServer, transport: ZeroMQTransport, key: str
) -> None:
    transport.open(replace(settings_of(server), curve_key=key))
    [news] = transport.receive(100)
    assert news.kind is Kind.REFUSED and "cannot connect" in news.detail
    assert not transport.send((b"header", b"body"))
    connect(server, transport)


def test_a_new_connection_replaces_the_old_one_many_times(
    server: RawServer, transport: ZeroMQTransport
) -> None:
    for _ in range(20):
        connect(server, transport)


def test_waiting_ends_with_a_descriptor_and_tells_which(transport: ZeroMQTransport) -> None:
    reader, writer = os.pipe()
    try:
        assert transport.wait([reader], [], 0.0) == set()
        assert transport.wait([reader], [writer], 5.0) == {writer}
        os.write(writer, b"x")
        assert transport.wait([reader], [], 5.0) == {reader}
        assert transport.wait([], [], 0.0) == set()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_closed_transport_takes_nothing() -> None:
    transport = ZeroMQTransport()
    transport.close()
    assert not transport.send((b"header", b"body"))
    assert transport.receive(10) == []

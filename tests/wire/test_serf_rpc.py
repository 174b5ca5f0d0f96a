"""Serf's agent RPC: every recorded frame, in pieces of any size, and bytes that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_wire import serf_query, serf_rpc
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.serf_link import FIRST_PAUSE, LONGEST_PAUSE, SerfLink

FRAMES: List[Dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "serf-rpc-frames.json").read_text()
)["frames"]
BEFORE_AUTH = "command with body before auth (body is left unread and is taken as the next header)"


def plain(value: Any) -> Any:
    """A recorded value with its bytes as bytes."""
    if isinstance(value, dict):
        if set(value) == {"$bin"}:
            return bytes.fromhex(value["$bin"])
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def asked(frame: Dict[str, Any]) -> bytes:
    header, *body = plain(frame["request"])
    return serf_rpc.encode(header["Command"], header["Seq"], body[0] if body else None)


def reader_for(frame: Dict[str, Any]) -> serf_rpc.Reader:
    """A reader that knows the requests whose answers are in a frame."""
    reader = serf_rpc.Reader()
    for command, seq in (("stream", 10), ("query", 14)):
        if seq in {item.get("Seq") for item in frame["response"]}:
            reader.expect(command, seq)
            if frame["request"][0]["Seq"] != seq:
                reader.feed(msgpack.packb({"Error": "", "Seq": seq}))
    header = frame["request"][0]
    reader.expect(header["Command"], header["Seq"])
    return reader


def frame_name(frame: Dict[str, Any]) -> str:
    return str(frame["name"])


@pytest.mark.parametrize("frame", FRAMES, ids=frame_name)
def test_requests_byte_for_byte(frame: Dict[str, Any]) -> None:
    assert asked(frame).hex() == frame["request_hex"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("frame", [f for f in FRAMES if f["name"] != BEFORE_AUTH], ids=frame_name)
def test_answers_in_pieces_of_any_size(frame: Dict[str, Any], size: int) -> None:
    reader, data = reader_for(frame), bytes.fromhex(frame["response_hex"])
    records = []
    for at in range(0, len(data), size):
        records += reader.feed(data[at : at + size])
    expected = plain(frame["response"])
    flat: List[Any] = []
    for record in records:
        flat.append({"Error": record.error, "Seq": record.seq})
        flat += [] if record.body is None else [record.body]
    assert flat == expected


def test_the_body_of_a_command_before_auth_is_taken_for_a_header() -> None:
    """The agent refuses it twice; what we hear is one refusal."""
    (frame,) = [f for f in FRAMES if f["name"] == BEFORE_AUTH]
    [record] = reader_for(frame).feed(bytes.fromhex(frame["response_hex"]))
    assert (record.command, record.error) == ("event", "Authentication required")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = serf_rpc.Reader()
    reader.expect("members", 1)
    reader.expect("query", 2)
    try:
        reader.feed(data)
    except RemoteError:
        pass


@given(st.recursive(st.none() | st.integers(-1, 9) | st.text(), lambda each: st.lists(each)))
def test_no_object_breaks_the_reader(value: Any) -> None:
    reader = serf_rpc.Reader()
    reader.expect("query", 2)
    header = msgpack.packb({"Error": "", "Seq": 2})
    try:
        reader.feed(header + header + msgpack.packb(value))
    except RemoteError:
        pass


def test_payloads_of_old_and_new_agents() -> None:
    old = serf_rpc.Reader()
    old.expect("stream", 1)
    header = msgpack.packb({"Error": "", "Seq": 1})
    body = msgpack.packb({"Payload": b"\xff\x00a"}, use_bin_type=False)
    (_, record) = old.feed(header + header + body)
    assert record.body is not None and not record.first
    assert serf_rpc.payload_of(record.body["Payload"]) == b"\xff\x00a"
    assert serf_rpc.payload_of(None) == b""
    assert serf_rpc.payload_of(b"x") == b"x"


def test_a_record_that_is_too_large_is_refused() -> None:
    reader = serf_rpc.Reader()
    with pytest.raises(RemoteError):
        for _ in range(6):
            reader.feed(b"\xdb\x7f\xff\xff\xff" + b"x" * serf_rpc.MAX_FRAME)


# The talk on a connection


def answer(seq: int, error: str = "") -> bytes:
    data: bytes = msgpack.packb({"Error": error, "Seq": seq})
    return data


def sent(link: SerfLink) -> List[Any]:
    data = link.waiting
    link.sent(len(data))
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(data)
    return list(unpacker)


def test_nothing_is_sent_before_the_agent_lets_us_in() -> None:
    link = SerfLink("s3cret", "query:shovey")
    link.opened()
    assert sent(link) == [{"Command": "handshake", "Seq": 1}, {"Version": 1}]
    assert link.received(answer(1)) == [] and not link.ready
    assert sent(link) == [{"Command": "auth", "Seq": 2}, {"AuthKey": "s3cret"}]
    link.received(answer(2))
    assert sent(link) == [{"Command": "stream", "Seq": 3}, {"Type": "query:shovey"}]
    link.received(answer(3))
    assert link.ready and link.problem is None
    assert link.query("q", b"p", ["n1"], 1.5, ack=True) == 4
    header, body = sent(link)
    assert body["FilterNodes"] == ["n1"] and body["RequestAck"] and body["Timeout"] == 1500000000


def test_a_wrong_key_ends_the_connection_with_the_agents_words() -> None:
    link = SerfLink("wrong", "*")
    link.opened()
    link.received(answer(1))
    with pytest.raises(RemoteError, match="refuses auth: Invalid authentication token"):
        link.received(answer(2, "Invalid authentication token"))


def test_an_agent_that_asks_for_a_key_we_lack() -> None:
    link = SerfLink(None, "*")
    link.opened()
    link.received(answer(1))
    for times in (1, 2):
        with pytest.raises(RemoteError, match="refuses stream: Authentication required"):
            link.received(answer(2 * times, "Authentication required") * times)
        link.lost("refused")
        link.opened()
        link.received(answer(2 * times + 1))


def test_pauses_grow_until_the_agent_lets_us_in_again() -> None:
    link = SerfLink(None, "*")
    pauses = [link.lost("refused") for _ in range(9)]
    assert pauses[:2] == [FIRST_PAUSE, 2 * FIRST_PAUSE] and pauses[-1] == LONGEST_PAUSE
    assert link.problem == "refused"
    link.opened()
    assert link.received(answer(1) + answer(2)[:0]) == []
    link.received(answer(2))
    assert link.ready and link.lost("gone") == FIRST_PAUSE


def test_numbers_are_never_used_twice_over_connections() -> None:
    link = SerfLink(None, "*")
    link.opened()
    link.received(answer(1))
    link.received(answer(2))
    link.members()
    link.lost("gone")
    link.opened()
    assert sent(link)[0] == {"Command": "handshake", "Seq": 4}


# How large a query is


NAMES = st.lists(st.text("abcdefgh.é", min_size=1, max_size=50), max_size=80, unique=True)


@given(NAMES, st.integers(300, 900))
def test_every_node_is_in_one_query_and_no_query_is_empty(nodes: List[str], length: int) -> None:
    payload = b"x" * length
    groups = list(serf_query.split("server", "shovey", payload, nodes))
    assert [node for group in groups for node in group] == nodes
    for group in groups:
        assert group
        fits = serf_query.query_size("server", "shovey", payload, group) <= serf_query.SIZE_LIMIT
        assert fits or len(group) == 1


@pytest.mark.parametrize(
    "payload, length, most", [(316, 10, 52), (488, 5, 67), (488, 20, 19), (656, 15, 15)]
)
def test_about_as_many_fit_as_the_specification_says(payload: int, length: int, most: int) -> None:
    nodes = [f"{number:0{length}d}" for number in range(200)]
    (first, *_) = serf_query.split("server", "shovey", b"x" * payload, nodes)
    assert most - 3 <= len(first) <= most

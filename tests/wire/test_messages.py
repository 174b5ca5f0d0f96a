"""Every message of the wire, both ways: the samples of pushy-protocol 5, round trips, junk."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_wire import messages
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.heartbeats import Runnable
from push_jobs_wire.messages import (
    Abort,
    Ack,
    Commit,
    Confirm,
    Heartbeat,
    JobRef,
    Origin,
    Output,
    OutputAck,
    Reply,
    Run,
    ServerHeartbeat,
    Unknown,
)
from push_jobs_wire.states import AgentState, NodeInput

JOB = "0123456789abcdef0123456789abcdef"
INCARNATION = "9b6d0a0e-1111-4222-8333-444455556666"
ORIGIN = Origin("acme", "web1", INCARNATION, "web1")

FROM_SERVER = [
    (
        b'{"sequence":17,"timestamp":"Thu, 01 Jan 2026 00:00:10 GMT","server":"push01",'
        b'"type":"heartbeat","incarnation_id":"3f0d7c5e-6a0b-4c7e-9a55-0d2f6b1c9e10"}',
        ServerHeartbeat("push01", "3f0d7c5e-6a0b-4c7e-9a55-0d2f6b1c9e10"),
    ),
    (
        b'{"sequence":4,"timestamp":"Thu, 01 Jan 2026 00:00:11 GMT","type":"commit",'
        b'"job_id":"0123456789abcdef0123456789abcdef","server":"push.example.test",'
        b'"command":"chef-client","user":"deploy","dir":"/srv","env":{"A":"1"},'
        b'"file":"base64:aGVsbG8=","capture":true}',
        Commit(
            JOB,
            "chef-client",
            server="push.example.test",
            user="deploy",
            dir="/srv",
            env={"A": "1"},
            file="base64:aGVsbG8=",
            capture=True,
        ),
    ),
    (
        b'{"sequence":5,"timestamp":"Thu, 01 Jan 2026 00:00:12 GMT","type":"run",'
        b'"job_id":"0123456789abcdef0123456789abcdef"}',
        Run(JOB),
    ),
    (b'{"sequence":6,"timestamp":"Thu, 01 Jan 2026 00:00:13 GMT","type":"abort"}', Abort()),
    (b'{"sequence":7,"timestamp":"Thu, 01 Jan 2026 00:00:14 GMT","type":"ack"}', Ack()),
    (
        b'{"sequence":8,"timestamp":"Thu, 01 Jan 2026 00:00:15 GMT","type":"output_ack",'
        b'"job_id":"0123456789abcdef0123456789abcdef","stream":"stderr","offset":7,"credit":9}',
        OutputAck(JOB, "stderr", 7, 9),
    ),
    (
        b'{"sequence":9,"timestamp":"Thu, 01 Jan 2026 00:00:16 GMT","type":"output_ack",'
        b'"job_id":"0123456789abcdef0123456789abcdef","stream":"stdout","offset":0,"credit":0,'
        b'"again":true}',
        OutputAck(JOB, "stdout", 0, 0, again=True),
    ),
]

COMMON = b'{"node":"web1","client":"web1","protocol_version":"2.0","org":"acme","type":"%s",'
BY_NODE = b'"incarnation_id":"9b6d0a0e-1111-4222-8333-444455556666",'

# The heartbeat of the reference puts job_state before job_id; no reader depends on the order.
FROM_NODE = [
    (
        COMMON % b"heartbeat"
        + b'"sequence":1,"timestamp":"Thu, 01 Jan 2026 00:00:10 GMT",'
        + BY_NODE
        + b'"job_state":"idle","job_id":null}',
        Heartbeat(),
    ),
    (
        COMMON % b"ack_commit"
        + b'"sequence":2,"timestamp":"Thu, 01 Jan 2026 00:00:11 GMT",'
        + BY_NODE
        + b'"job_id":"0123456789abcdef0123456789abcdef"}',
        Reply(NodeInput.ACK_COMMIT, JobRef(JOB)),
    ),
    (
        COMMON % b"succeeded"
        + b'"sequence":4,"timestamp":"Thu, 01 Jan 2026 00:00:15 GMT",'
        + BY_NODE
        + b'"job_id":"0123456789abcdef0123456789abcdef","stdout":"hi\\n","stderr":""}',
        Reply(NodeInput.SUCCEEDED, JobRef(JOB), stdout="hi\n", stderr=""),
    ),
    (
        COMMON % b"aborted"
        + b'"sequence":5,"timestamp":"Thu, 01 Jan 2026 00:00:16 GMT",'
        + BY_NODE
        + b'"job_id":null}',
        Reply(NodeInput.ABORTED, JobRef()),
    ),
]


@pytest.mark.parametrize(("body", "message"), FROM_SERVER)
def test_samples_of_the_server(body: bytes, message: messages.ServerMessage) -> None:
    fields = messages.load(body)
    assert messages.decode_server(fields) == message
    assert messages.encode_server(message, fields["sequence"], fields["timestamp"]) == body


@pytest.mark.parametrize(("body", "message"), FROM_NODE)
def test_samples_of_a_node(body: bytes, message: Union[Heartbeat, Reply]) -> None:
    fields = messages.load(body)
    assert messages.origin_of(fields) == ORIGIN
    assert messages.decode_node(fields) == message
    made = messages.encode_node(ORIGIN, message, fields["sequence"], fields["timestamp"])
    assert json.loads(made) == fields


@pytest.mark.proves("P-5b")
@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"job_id": None}, JobRef()),
        ({"job_id": "null"}, JobRef()),
        ({"job_id": "x" * 64}, JobRef("x" * 64)),
        ({"job_id": "x" * 65}, JobRef(valid=False)),
        ({"job_id": "\u00e9" * 32}, JobRef("\u00e9" * 32)),
        ({"job_id": "\u00e9" * 33}, JobRef(valid=False)),
        ({"job_id": "\ud800"}, JobRef(valid=False)),
        ({"job_id": 7}, JobRef(valid=False)),
        ({"job_id": False}, JobRef(valid=False)),
        ({"job_id": ["x"]}, JobRef(valid=False)),
        ({}, JobRef(valid=False)),
    ],
)
def test_job_ids_of_nodes(job: Dict[str, Any], expected: JobRef) -> None:
    beat = messages.decode_node({"type": "heartbeat", **job})
    reply = messages.decode_node({"type": "ack_run", **job})
    assert isinstance(beat, Heartbeat) and isinstance(reply, Reply)
    assert (beat.job, reply.job) == (expected, expected)


@pytest.mark.parametrize("absent", [None, False])
def test_false_and_null_options_are_absent(absent: object) -> None:
    options = {name: absent for name in ("user", "dir", "env", "file")}
    fields: Dict[str, Any] = {"type": "commit", "job_id": JOB, "command": "x", **options}
    assert messages.decode_server(fields) == Commit(JOB, "x")


def test_an_empty_option_is_not_absent() -> None:
    fields = {"type": "commit", "job_id": JOB, "command": "x", "file": ""}
    assert messages.decode_server(fields) == Commit(JOB, "x", file="")


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": 1},
        {"dir": True},
        {"file": []},
        {"env": "A=1"},
        {"env": {"A": 1}},
        {"job_id": None},
        {"job_id": ""},
        {"job_id": "x" * 65},
        {"command": None},
    ],
)
def test_an_unusable_commit_names_what_is_wrong(wrong: Dict[str, Any]) -> None:
    made = messages.decode_server({"type": "commit", "job_id": JOB, "command": "x", **wrong})
    assert isinstance(made, Commit)
    assert made.problem == f"the commit has no usable {next(iter(wrong))}"


@pytest.mark.parametrize("make", [None, 7, "news", [], {"a": 1}, "\ud800"])
def test_unknown_types_are_unknown(make: object) -> None:
    check_unknown(make)


def test_a_huge_type_is_unknown() -> None:
    check_unknown(10**5000)


def check_unknown(kind: object) -> None:
    assert isinstance(messages.decode_server({"type": kind}), Unknown)
    made = messages.decode_node({"type": kind})
    assert isinstance(made, Unknown)
    made.type.encode("utf-8")


@pytest.mark.parametrize(
    "origin",
    [{}, {"org": "", "node": "n"}, {"org": "o", "node": 1}, {"org": "o", "node": "\ud800"}],
)
def test_a_message_without_an_origin_is_refused(origin: Dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        messages.origin_of(origin)


def test_a_body_may_have_exactly_the_limit() -> None:
    assert messages.load(b"{}", 2) == {}
    with pytest.raises(RemoteError, match="body of 3 bytes, at most 2 are allowed"):
        messages.load(b"{ }", 2)


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        messages.load(body)
    except RemoteError:
        pass


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"[]", b"1"])
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteError):
        messages.load(body)


TEXT = st.text(st.characters(blacklist_categories=["Cs"]))
JOB_IDS = st.text("abcdef0123456789", min_size=1, max_size=64)
WHOLE = st.none() | st.integers(1 - 2**31, 2**31 - 1)
OPTION = st.none() | TEXT
COMMITS = st.builds(
    Commit,
    JOB_IDS,
    TEXT,
    server=TEXT,
    user=OPTION,
    dir=OPTION,
    env=st.none() | st.dictionaries(TEXT, TEXT, min_size=1),
    file=OPTION,
    capture=st.booleans(),
    run_timeout=WHOLE,
)
TIMES = st.none() | st.floats(0, 2**39)
TO_NODES = st.one_of(
    st.builds(ServerHeartbeat, TEXT, OPTION),
    COMMITS,
    st.builds(Run, JOB_IDS),
    st.builds(Confirm, JOB_IDS),
    st.builds(Abort, TIMES, OPTION),
    st.just(Ack()),
)
REFS = st.none().map(JobRef) | JOB_IDS.map(JobRef)
BEATS = st.builds(
    Heartbeat,
    st.sampled_from(AgentState),
    REFS,
    extensions=st.integers(0, 9),
    jobs=st.none() | st.lists(JOB_IDS).map(lambda ids: tuple(ids)),
    version=OPTION,
    platform=OPTION,
    runnable=st.none()
    | st.builds(
        Runnable,
        st.lists(TEXT).map(lambda names: tuple(names)),
        st.integers(0, 2**31 - 1),
        st.booleans(),
    ),
)
REPLIES = st.builds(
    Reply,
    st.sampled_from(list(messages.REPLIES.values())),
    REFS,
    stdout=OPTION,
    stderr=OPTION,
    exit_code=WHOLE,
    signal=WHOLE,
    reason=OPTION,
    started_at=TIMES,
    ended_at=TIMES,
)


@given(TO_NODES)
def test_round_trip_to_nodes(message: messages.ServerMessage) -> None:
    body = messages.encode_server(message, 1, "t")
    assert messages.decode_server(messages.load(body)) == message


@given(st.builds(Origin, TEXT.filter(bool), TEXT.filter(bool), OPTION, TEXT), BEATS | REPLIES)
def test_round_trip_to_the_server(origin: Origin, message: Union[Heartbeat, Reply]) -> None:
    fields = messages.load(messages.encode_node(origin, message, 1, "t"))
    assert (messages.origin_of(fields), messages.decode_node(fields)) == (origin, message)


ANY_TEXT = st.text(st.characters()) | st.sampled_from(["\ud800", "null", "idle"])
LEAVES = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | ANY_TEXT
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=4
)
KINDS = ["heartbeat", "commit", "run", "confirm", "abort", "ack", *messages.REPLIES]
NAMES = ["job_id", "command", "user", "dir", "env", "file", "job_state", "jobs", "extensions"]
NAMES += ["server", "incarnation_id", "run_timeout", "stdout", "exit_code", "started_at", "version"]


@given(ANYTHING | st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_no_object_makes_decoding_raise(kind: object, fields: Dict[str, Any]) -> None:
    messages.decode_server({**fields, "type": kind})
    messages.decode_node({**fields, "type": kind})


@pytest.mark.parametrize("name", ["type", *NAMES])
@pytest.mark.parametrize("kind", KINDS)
def test_deep_nesting_makes_no_decoding_raise(kind: str, name: str) -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    fields = {"type": kind, "job_id": JOB, "command": "x", name: deep}
    messages.decode_server(fields)
    messages.decode_node(fields)


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "stdin"},
        {"offset": -1},
        {"offset": "1"},
        {"data": "%"},
        {"data": None},
        {"skipped": -1},
        {"skipped": None},
    ],
)
def test_output_that_is_not_usable_is_unknown(change: Dict[str, Any]) -> None:
    output = Output(JobRef(JOB), "stdout", 3, b"\0\xff", 2)
    fields = messages.load(messages.encode_node(ORIGIN, output, 1, "now"))
    assert messages.decode_node(fields) == output
    assert messages.decode_node({**fields, **change}) == Unknown("output")


def test_an_acknowledgement_that_is_not_usable_is_unknown() -> None:
    fields = messages.load(messages.encode_server(OutputAck(JOB, "stdout", 3, 4), 1, "now"))
    changes: List[Dict[str, Any]] = [{"stream": 1}, {"offset": None}, {"credit": -5}]
    for change in changes:
        assert messages.decode_server({**fields, **change}) == Unknown("output_ack")

"""Starting jobs over HTTP, and how jobs and their output are shown."""

from __future__ import annotations

import base64
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from api_desk import JOBS, PEER, PUSHY, Desk, open_desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_jobs import created, job_id

from push_jobs_server.records import NodeChanged, OutputStored
from push_jobs_wire.states import NodeStatus

JOB: Dict[str, Any] = {"command": "chef-client", "nodes": ["web01", "web02"]}
VALIDATION = "an unknown validation error has occurred"
NO_NODES = "at least one node must be supplied"
PLAIN_KEYS = {"id", "command", "status", "run_timeout", "created_at", "updated_at"}

DETAIL_KEYS = PLAIN_KEYS | {
    "requestor",
    "requestor_kind",
    "quorum",
    "capture",
    "user",
    "dir",
    "env",
}
DETAIL_KEYS |= {"file_specified", "nodes", "voting_deadline", "run_deadline", "cancels"}
OUTCOME_KEYS = {"status", "exit_code", "signal", "reason", "started_at", "ended_at"}


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[Desk]:
    with open_desk(sqlite_store_url, trusted_proxies=[PEER]) as made:
        yield made


def number_error(name: str) -> str:
    return f"invalid type supplied for {name} (expected a number)"


CAPTURE = "invalid type supplied for capture_output (expected a boolean)"
WRONG: Dict[str, Tuple[List[Any], str]] = {
    "command": ([[], {}, 1, True, None], "invalid command supplied"),
    "nodes": (["", "a", 1, True, None, {}, [True], [None], [{}], []], NO_NODES),
    "quorum": (["1", [], {}, True, None], number_error("quorum")),
    "run_timeout": (["1", [], {}, True, None], number_error("run_timeout")),
    "user": ([1, [], {}, True, None], VALIDATION),
    "dir": ([1, [], {}, True, None], VALIDATION),
    "env": ([1, [], "x", True, None, {"A": 1}, {"A": None}], VALIDATION),
    "file": ([1, [], {}, True, None], VALIDATION),
    "capture_output": ([1, 0, "true", [], {}, None], CAPTURE),
    "unknown": ([1], "invalid key supplied"),
}
BAD = [(key, value, text) for key, (values, text) in WRONG.items() for value in values]
BASE64 = "invalid file contents (couldn't decode base64 string)"
PREFIX = "invalid file contents (expected 'base64:...' or 'raw:...')"
SIZE = "invalid file size (must be <= 100000 bytes)"
BAD += [
    ("file", "text", PREFIX),
    ("file", "base64:YQ", BASE64),
    ("file", "base64:Y!Q=", BASE64),
    ("file", "raw:" + "x" * 100_001, SIZE),
    ("file", "raw:" + "\u00e9" * 50_001, SIZE),
    ("file", "base64:" + base64.b64encode(b"x" * 100_001).decode(), SIZE),
]


@pytest.mark.proves("A-14b")
@pytest.mark.parametrize("key, value, text", BAD, ids=map(str, range(len(BAD))))
def test_wrong_value(desk: Desk, key: str, value: Any, text: str) -> None:
    reply = desk.post({**JOB, key: value})
    assert (reply.status, reply.error) == (400, text)


@pytest.mark.parametrize("key", ["command", "nodes"])
def test_required_key(desk: Desk, key: str) -> None:
    reply = desk.post({name: value for name, value in JOB.items() if name != key})
    assert (reply.status, reply.error) == (400, WRONG[key][1])


RAW = b'{"command":"c","nodes":["n"],'


@pytest.mark.parametrize(
    "raw",
    [RAW + b'"%s":%s}' % (key, value)
     for key in (b"quorum", b"run_timeout")
     for value in (b"1.5", b"-1", b"2147483648", b"1e999", b"-1e999", b"NaN", b"9" * 5000)]
    + [
        b"", b"{", b"\xff", b"[]", b"null", b"1", b"[" * 100_000,
        RAW + b'"env":{"A":"1","A":"2"}}',
        RAW + b'"env":{"A\\u0000":"1"}}',
        RAW + b'"env":{"A":"\\ud800"}}',
        RAW + b'"file":"raw:\\ud800"}',
        RAW + b'"user":"\\ud800"}',
        RAW + b'"dir":"\\u0000"}',
        b'{"command":"\\ud800","nodes":["n"]}',
        b'{"command":"\\u0000","nodes":["n"]}',
        b'{"command":"c","nodes":["\\udfff"]}',
        b'{"command":"c","nodes":[""]}',
    ],
)  # fmt: skip
def test_refused_body(desk: Desk, raw: bytes) -> None:
    reply = desk.post(raw)
    assert reply.status == 400
    assert isinstance(reply.error, str)


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANY = st.recursive(LEAF, lambda part: st.lists(part) | st.dictionaries(st.text(), part))
NAMES = st.sampled_from([*WRONG])


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(NAMES, ANY).map(lambda made: {**JOB, **made}) | ANY)
def test_no_body_is_a_server_error(desk: Desk, body: Any) -> None:
    assert desk.post(body).status in (201, 400)


@pytest.mark.proves("A-14b")
@pytest.mark.parametrize("file", ["raw:", "base64:", "base64:YW\n Jj", "raw:" + "x" * 100_000])
def test_good_file(desk: Desk, file: str) -> None:
    assert desk.post({**JOB, "file": file}).status == 201


@pytest.mark.proves("A-11a", "A-20b")
def test_answer_is_the_url(desk: Desk) -> None:
    reply = desk.post({**JOB, "quorum": 1.0, "run_timeout": 0})
    (stored,) = desk.store.jobs("acme")
    url = "https://push.test/organizations/acme/pushy/jobs/" + stored.id
    assert (reply.status, reply.headers["location"]) == (201, url)
    assert reply.json == {"uri": url}
    assert (stored.request.quorum, stored.request.run_timeout) == (1, 0)
    assert (stored.request.requestor, stored.request.requestor_kind) == ("alice", "user")


FORWARDED = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "front.test:80, x"}


@pytest.mark.proves("A-20a")
def test_forwarded_headers_of_a_trusted_proxy(desk: Desk) -> None:
    reply = desk.post(JOB, headers=FORWARDED)
    assert reply.json["uri"].startswith("http://front.test/organizations/")


@pytest.mark.parametrize(
    "proxies, start",
    [([], "https://push.test/"), (["192.0.2.0/24"], "http://front.test/")],
)
def test_forwarded_headers_by_network(
    sqlite_store_url: str, proxies: List[str], start: str
) -> None:
    with open_desk(sqlite_store_url, trusted_proxies=proxies) as desk:
        assert desk.post(JOB, headers=FORWARDED).json["uri"].startswith(start)


def test_duplicate_nodes_lower_the_quorum(desk: Desk) -> None:
    desk.post({"command": "c", "nodes": ["a", "b", "a"], "quorum": 3})
    (listed,) = desk.store.jobs("acme")
    stored = desk.store.job("acme", listed.id)
    assert stored is not None
    assert (sorted(stored.nodes), stored.request.quorum) == (["a", "b"], 2)


def test_wrong_content_type(desk: Desk) -> None:
    assert desk.post(JOB, headers={"Content-Type": "text/plain"}).status == 415
    typed = {"Content-Type": "application/json; charset=utf-8"}
    assert desk.post(JOB, headers=typed).status == 201


@pytest.mark.proves("A-11b", "A-12a", "A-12b")
def test_job_documents(desk: Desk) -> None:
    options = {"user": "u", "dir": "/", "env": {}, "file": "raw:x", "capture_output": True}
    plain = desk.post(JOB).json["uri"][-32:]
    full = desk.post({**JOB, **options}).json["uri"][-32:]
    shown = {each["id"]: each for each in desk.get(JOBS).json}
    assert set(shown[plain]) == PLAIN_KEYS
    extra = {"user": "u", "dir": "/", "env": {}, "file_specified": True, "capture_output": True}
    assert {key: shown[full][key] for key in set(shown[full]) - PLAIN_KEYS} == extra
    alone = desk.get(f"{JOBS}/{plain}").json
    assert set(alone) == PLAIN_KEYS | {"nodes"}
    assert sorted(sum(alone["nodes"].values(), [])) == ["web01", "web02"]
    with_file = desk.get(f"{JOBS}/{full}?include_file=true").json
    assert with_file["file"] == "raw:x" and "file_specified" not in with_file
    assert "file" not in desk.get(f"{JOBS}/{full}?include_file=1").json
    detail = desk.get(f"{PUSHY}/v1/jobs/{full}").json
    assert set(detail) == DETAIL_KEYS
    assert [set(node) for node in detail["nodes"]] == [{"name", "late", *OUTCOME_KEYS}] * 2
    assert [node["name"] for node in detail["nodes"]] == ["web01", "web02"]
    assert (detail["requestor"], detail["capture"], detail["file_specified"]) == (
        "alice", True, True,
    )  # fmt: skip


@pytest.mark.proves("A-15b")
def test_output_and_other_organizations(desk: Desk) -> None:
    number = job_id(7)
    ended = NodeChanged(number, "web01", NodeStatus.SUCCEEDED)
    desk.store.write(
        [created(7, ["web01"]), ended, OutputStored(number, "web01", b"out\0 \n", b"")]
    )
    reply = desk.get(f"{JOBS}/{number}/output/web01/stdout")
    assert (reply.status, reply.body) == (200, b"out\0 \n")
    assert reply.headers["content-type"] == "application/octet-stream"
    reply = desk.get(f"{JOBS}/{number}/output/web01/stderr")
    assert (reply.status, reply.body) == (200, b"")
    for end in ("web02/stdout", "web01/other", "web01"):
        assert desk.get(f"{JOBS}/{number}/output/{end}").status == 404
    for end in ("", "/output/web01/stdout"):
        assert desk.get(f"/organizations/other/pushy/jobs/{number}{end}").status == 404
    assert desk.get(f"/organizations/other/pushy/v1/jobs/{number}").status == 404
    json_only = {"Accept": "application/json"}
    url = f"{JOBS}/{number}/output/web01/stdout"
    assert desk.get(url, headers=json_only).status == 406


def test_a_caller_may_wait_for_the_end(desk: Desk) -> None:
    number = desk.post({"command": "true", "nodes": ["nowhere"]}).json["uri"][-32:]
    path = f"{PUSHY}/v1/jobs/{number}"
    assert desk.get(f"{path}?wait=30").json["status"] == "quorum_failed"
    for wrong in ("x", "-1", "61", "nan"):
        reply = desk.get(f"{path}?wait={wrong}")
        assert (reply.status, "expected 0 to 60" in reply.error[0]) == (400, True)
    assert desk.get(f"{PUSHY}/v1/jobs/{'0' * 32}?wait=30").status == 404

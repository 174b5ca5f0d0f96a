"""``push-jobs node show`` and ``node list --all``: what is known of a node, and what to do."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, Optional

import pytest
from command_run import Run
from pushy_stub import PushyStub, Record

from push_jobs import Client
from push_jobs.errors import BadAnswer
from push_jobs.models import NodeState
from push_jobs.node_advice import advice
from push_jobs.node_models import LastDown, NodeDetail, NodeJob, NodeRefusal, Presence
from push_jobs.node_reading import brief

JOB = "ab" * 16


def moment(minute: int) -> datetime:
    return datetime(2024, 5, 14, 9, minute, tzinfo=timezone.utc)


def stamp(minute: int) -> str:
    return f"2024-05-14T09:{minute:02d}:00.000Z"


def record(name: str = "web1", **known: Any) -> Record:
    """What a server says of a node of which it knows nothing but that."""
    nothing = dict.fromkeys(
        ("since", "reason", "seen_at", "settings_fetched_at", "last_down", "refusal", "version")
    )
    more = dict.fromkeys(("platform", "extensions", "says_job", "spool", "runnable"))
    fixed = {"name": name, "state": "never_seen", "available": False, "registered": True}
    return {**fixed, **nothing, **more, "jobs": [], **known}


def refusal(kind: str, minute: int = 30, **known: Any) -> Record:
    fixed = {"kind": kind, "detail": f"it was {kind}", "at": stamp(minute), "count": 1}
    return {**fixed, "clock_offset": None, **known}


UP = record(
    state="up",
    available=True,
    since=stamp(10),
    seen_at=stamp(20),
    settings_fetched_at=stamp(9),
    last_down={"at": stamp(5), "reason": "the agent was restarted"},
    version="0.1.0",
    platform="Linux 6.1 x86_64",
    extensions=1,
    says_job=JOB,
    jobs=[{"id": JOB, "status": "running"}],
    spool=[JOB],
    runnable={"names": ["chef-client", "deploy .*"], "complete": True},
)
DOWN = record(
    "web2",
    state="down",
    since=stamp(25),
    seen_at=stamp(20),
    settings_fetched_at=stamp(9),
    reason="no heartbeat for too long",
    refusal=refusal("bad_clock", clock_offset=-420, count=3),
)


@pytest.fixture
def told(stub: PushyStub) -> Dict[str, Record]:
    """What the server tells of its nodes."""
    stub.details = {"web1": UP, "web2": DOWN, "web3": record("web3")}
    return stub.details


def test_a_node_that_is_up(told: Dict[str, Record], run: Run) -> None:
    assert run("node", "show", "web1").out.splitlines() == [
        "node           web1",
        "status         up since 2024-05-14 09:10:00Z",
        "jobs           available",
        "last message   2024-05-14 09:20:00Z",
        "last settings  2024-05-14 09:09:00Z",
        "was down       2024-05-14 09:05:00Z, the agent was restarted",
        "agent          0.1.0, Linux 6.1 x86_64",
        f"holds          job {JOB} (running)",
        "can run        chef-client, deploy .*",
    ]


def test_a_node_that_is_down_with_what_to_do(told: Dict[str, Record], run: Run) -> None:
    assert run("node", "show", "web2").out.splitlines() == [
        "node           web2",
        "status         down since 2024-05-14 09:25:00Z",
        "jobs           unavailable",
        "why            no heartbeat for too long",
        "last message   2024-05-14 09:20:00Z",
        "last settings  2024-05-14 09:09:00Z",
        "refused        2024-05-14 09:30:00Z, it was bad_clock (3 times)",
        "to do          synchronize the clocks: the one of web2 is 420 s behind the server's",
    ]


def test_all_nodes_in_a_table(told: Dict[str, Record], run: Run) -> None:
    assert run("node", "list", "--all").out.splitlines() == [
        "NODE  STATUS      SINCE                 JOBS         WHY",
        "web1  up          2024-05-14 09:10:00Z  available    -",
        "web2  down        2024-05-14 09:25:00Z  unavailable  no heartbeat for too long",
        "web3  never seen  -                     unavailable  -",
    ]


def test_json_has_all_of_it(told: Dict[str, Record], run: Run) -> None:
    shown = json.loads(run("node", "show", "web1", "--format", "json").out)
    for key in ("name", "state", "available", "registered", "since", "last_down", "jobs", "spool"):
        expected = json.loads(json.dumps(told["web1"][key]).replace(".000Z", "Z"))
        assert shown[key] == expected
    assert (shown["kind"], shown["version"], shown["online"]) == ("node", 1, True)
    assert (shown["runnable"], shown["all_runnable"]) == (["chef-client", "deploy .*"], True)
    assert (shown["agent_version"], shown["advice"]) == ("0.1.0", None)
    lines = run("node", "list", "--all", "--format", "jsonl").out.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [document["state"] for document in documents] == ["up", "down", "never_seen"]
    assert documents[1]["refusal"]["clock_offset"] == -420
    assert documents[1]["advice"].startswith("synchronize")


def test_a_script_gets_typed_records(told: Dict[str, Record], client: Client) -> None:
    node = client.node_detail("web1")
    assert (node.presence, node.since, node.seen_at) == (Presence.UP, moment(10), moment(20))
    assert node.last_down == LastDown(moment(5), "the agent was restarted")
    assert (node.jobs, node.runnable) == ((NodeJob(JOB, "running"),), ("chef-client", "deploy .*"))
    down, never = client.all_nodes()[1:]
    assert down.refusal == NodeRefusal("bad_clock", "it was bad_clock", moment(30), 3, -420)
    assert never == NodeDetail("web3", Presence.NEVER_SEEN, False, registered=True)


def test_an_old_server_tells_what_it_can(stub: PushyStub, client: Client, run: Run) -> None:
    stub.nodes = {"web1": (True, True)}
    assert client.node_detail("web1") == NodeDetail("web1", Presence.UP, True, brief=True)
    assert client.all_nodes() == [client.node_detail("web1")]
    shown = run("node", "list", "--all")
    assert shown.out.splitlines()[1].split() == ["web1", "up", "-", "available", "-"]
    assert shown.err == "this server tells only of the nodes that are connected now\n"
    document = json.loads(run("node", "show", "web2", "--format", "json").out)
    assert (document["online"], document["state"], document["advice"]) == (False, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "asleep"},
        {"available": None},
        {"since": "yesterday"},
        {"jobs": None},
        {"refusal": {}},
        {"runnable": {"names": [1], "complete": True}},
    ],
)
def test_a_wrong_answer_is_named(stub: PushyStub, client: Client, wrong: Record) -> None:
    stub.details = {"web1": record(**wrong)}
    with pytest.raises(BadAnswer, match=next(iter(wrong))):
        client.node_detail("web1")


def node(
    kind: Optional[str] = None, minute: int = 30, offset: Optional[int] = None, **known: Any
) -> NodeDetail:
    refused = None if kind is None else NodeRefusal(kind, "x", moment(minute), 1, offset)
    values: Record = {
        "presence": Presence.DOWN,
        "available": False,
        "registered": True,
        "seen_at": moment(20),
        "settings_fetched_at": moment(9),
        **known,
    }
    return NodeDetail(name="web1", refusal=refused, **values)


NEVER: Record = {"presence": Presence.NEVER_SEEN, "seen_at": None, "settings_fetched_at": None}
STRANGER: Record = {**NEVER, "registered": False}
ADVICE = {
    "takes jobs": (node(presence=Presence.UP, available=True), None),
    "does not confirm": (node(presence=Presence.UP), "restart its agent"),
    "is silent": (node(), "machine and its agent are running"),
    "never connected": (node(seen_at=moment(5)), "command port"),
    "never came": (node(**NEVER), "install the agent"),
    "unknown name": (node(**STRANGER), "no client is registered as web1"),
    "clock ahead": (node("bad_clock", offset=90), "90 s ahead of"),
    "clock unreadable": (node("bad_clock"), "synchronize the clocks of"),
    "clock was wrong": (node("bad_clock", 15, 90), "machine and its agent are running"),
    "wrong key": (node("bad_key"), "client_key"),
    "wrong key while up": (node("bad_key", 15, presence=Presence.UP, available=True), "client_key"),
    "wrong key once": (node("bad_key", 8), "machine and its agent"),
    "not registered": (node("bad_key", registered=False), "no client is registered"),
    "wrong signature": (node("bad_signature"), "fetches its settings again"),
    "wrong name": (node("foreign"), "in the name of another node"),
    "expired": (node("grant_expired"), "HTTPS address"),
    "not allowed": (node("not_allowed"), "of another client"),
    "twice": (node("replayed"), "two agents"),
    "something new": (node("later_kind"), "log of the server"),
    "an old server": (brief(NodeState("web1", False, False)), None),
}


@pytest.mark.parametrize("case", ADVICE)
def test_what_to_do(case: str) -> None:
    detail, expected = ADVICE[case]
    given = advice(detail)
    assert given is None if expected is None else expected in str(given)

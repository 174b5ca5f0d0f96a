"""The 225 recorded exchanges with goiardi, replayed: same status and members, but for what is ours.

Ids and times differ; jobs and nodes are brought into the state that the recording had.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional
from urllib.parse import urlencode

import pytest
from api_desk import Reply
from shovey_desk import JOBS, NODE, OTHER, ShoveyDesk, open_shovey_desk

EXCHANGES: List[Dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "shovey-http.json").read_text("utf-8")
)["exchanges"]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

OURS: Mapping[str, "tuple[int, str]"] = {
    # Where goiardi closes the connection: 400, or the answer that it lacks.
    "jobs-head": (200, "HEAD breaks there"),
    "cancel-badnode": (404, "a node that is not in the job"),
    "cancel-nodesint": (400, "wrong type"),
    "post-nocommand": (400, "wrong type"),
    "post-intcommand": (400, "wrong type"),
    "post-intnodes": (400, "wrong type"),
    # The quorum: a JSON number counts, percentages have any number of digits, nonsense is refused.
    "post-q-33.33%": (200, "percent beyond one decimal"),
    "post-q--1": (400, "negative"),
    "post-q-NaN": (400, "not a number"),
    "post-qj-2": (400, "more than there are nodes"),
    # The time limit: positive integers.
    "post-rt-0": (400, "not positive"),
    "post-rt--5": (400, "not positive"),
    "post-rt-2.9": (400, "no integer"),
    "post-rt-1e+30": (400, "too large"),
    "post-rt-99999999999999": (400, "too large"),
    # Who may report and cancel: the node itself, and operators.
    "cancel-nonadmin": (403, "only operators cancel"),
    "put-node-byother": (403, "another node"),
    "put-node-validator": (403, "no node at all"),
    "put-stream-other": (403, "another node"),
    "put-stream-404n": (403, "another node, which need not exist"),
    # Output types are stdout and stderr.
    "put-stream-weirdtype": (400, "unknown type"),
    "put-stream-bothtype": (400, "no type of a piece"),
}
MEMBERS = {
    "stream-both": "pieces of both streams are shown, with the number of the last one",
    "stream-negseq": "here the run has ended, and then gaps are skipped",
    "get-both": "the piece of type both was refused",
    "stream-after-cancel": "the recording had an empty last piece; here none came",
}
"""Exchanges whose ``last_seq`` may be there or not, for the reason given."""


class Replay:
    """The state of a replay: the ids of the recording and ours."""

    def __init__(self, desk: ShoveyDesk) -> None:
        self.desk = desk
        self.ids: Dict[str, str] = {}

    def translate(self, text: str) -> str:
        """A text with our ids in place of the recorded ones."""
        return _UUID.sub(lambda match: self.ids.get(match.group(), match.group()), text)

    def prepare(self, exchange: Dict[str, Any]) -> None:
        """Make what the recording had at this point and did not show."""
        words = json.dumps([exchange["path"], exchange.get("body")])
        for run_id in _UUID.findall(words):
            if run_id not in self.ids:
                self.ids[run_id] = self._job(exchange)

    def _job(self, exchange: Dict[str, Any]) -> str:
        if exchange["name"] == "cancel-quorumfailed":
            return self._failed()
        if exchange["name"] == "cancel-down-node-only":
            job = self.desk.start(NODE, "ghost.local", command="sleepy", quorum="50%")
            self.desk.report(job, "running")
            return job
        job = self.desk.start(NODE)
        for stream in ("stderr", "stdout"):
            self.desk.chunk(job, 0, "", stream, is_last=True)
        if not exchange["name"].startswith("cancel"):
            self.desk.report(job, "succeeded", exit_status=0)
        return job

    def _failed(self) -> str:
        body = {"command": "true", "nodes": ["ghost.local"]}
        words = self.desk.call("POST", JOBS, body).json["error"][0]
        return str(_UUID.findall(words)[0])

    def send(self, exchange: Dict[str, Any]) -> Reply:
        """Send the recorded request."""
        body: Optional[bytes] = None
        if "body" in exchange:
            # The very same request within a second would be answered with the first job.
            distinct = {"request": str(uuid.uuid4())} if exchange["method"] == "POST" else {}
            body = self.translate(json.dumps({**exchange["body"], **distinct})).encode()
        elif "body_raw" in exchange:
            body = exchange["body_raw"].encode()
        path = self.translate(exchange["path"])
        query = exchange.get("query")
        if query:
            path += "?" + (query if isinstance(query, str) else urlencode(query))
        return self._as(exchange, path, body)

    def _as(self, exchange: Dict[str, Any], path: str, body: Optional[bytes]) -> Reply:
        who, method = exchange["as"], exchange["method"]
        note = exchange.get("note", "")
        if exchange["name"] == "unsigned-named":
            return self.desk.call(method, path, body, None, headers={"X-Ops-Userid": "alice"})
        if who.startswith("nobody"):
            return self.desk.call(method, path, body, None)
        options: Dict[str, Any] = {"version": "1.0" if "1.0" in note else "1.3"}
        if "another key" in note:
            options["key"] = "mallory"
        return self.desk.call(method, path, body, _user(who), **options)

    def learn(self, exchange: Dict[str, Any], reply: Reply) -> None:
        """Remember which of our jobs stands for a recorded one."""
        recorded = exchange.get("response")
        if exchange["method"] == "POST" and isinstance(recorded, dict):
            ours = reply.json
            if "id" in recorded:
                self.ids[recorded["id"]] = ours.get("id", str(uuid.uuid4()))
            for theirs, mine in zip(
                *(_UUID.findall(json.dumps(each)) for each in (recorded, ours))
            ):
                self.ids.setdefault(theirs, mine)


def _user(who: str) -> str:
    if who.startswith("client "):
        return who.split()[1].rstrip(",")
    if who.startswith("unknown"):
        return "nobody"
    return "bob" if "validator" in who else "alice"


def _members(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(value)
    return [_members(each) for each in value[:1]] if isinstance(value, list) else type(value)


@pytest.fixture
def desk(sqlite_store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(sqlite_store_url) as made:
        yield made


def _stage(replay: Replay, name: str) -> None:
    """Heartbeats and registrations that happened between the recorded requests."""
    desk = replay.desk
    if name == "status-all-norecord":
        desk.beat(NODE, "new")
    elif name in ("status-all-up", "n2-all", "n2-all#2"):
        desk.beat(NODE if name == "status-all-up" else OTHER, "up")
    elif name == "status-all-n2down":
        desk.tell(lambda engine: engine.serf.gone(OTHER, "no heartbeat for 10 minutes"))
    elif name == "status-deleted":
        desk.desk.identity.delete_client("acme", NODE)
        desk.tell(lambda engine: engine.serf.gone(NODE, "deleted"))
    elif name == "job, nacked":
        desk.desk.identity.create_client("acme", NODE, desk_key(NODE))
        desk.beat(NODE)


def desk_key(name: str) -> str:
    from api_desk import public_pem

    return public_pem(name)


def test_all_exchanges(desk: ShoveyDesk) -> None:
    replay, seen, wrong = Replay(desk), set(), []
    desk.desk.identity.delete_client("acme", "web01")
    for name in (NODE, OTHER):
        desk.desk.identity.delete_client("acme", name)
    for exchange in EXCHANGES:
        if exchange["name"].startswith("noshovey"):
            continue  # another server: the next test
        if exchange["name"] == "status-all-norecord":
            for name in (NODE, OTHER):
                desk.desk.identity.create_client("acme", name, desk_key(name))
        _stage(replay, exchange["name"])
        replay.prepare(exchange)
        reply = replay.send(exchange)
        replay.learn(exchange, reply)
        wrong += _differences(exchange, reply)
        seen.add(exchange["name"])
    assert not wrong, "\n".join(wrong)
    assert len(EXCHANGES) == 225
    assert set(OURS) | set(MEMBERS) <= seen


def _differences(exchange: Dict[str, Any], reply: Reply) -> List[str]:
    name = exchange["name"]
    expected = OURS[name][0] if name in OURS else exchange["status"]
    if reply.status != expected:
        return [f"{name}: {reply.status} {reply.body[:200]!r}, expected {expected}"]
    recorded = exchange.get("response")
    if name in OURS or recorded is None:
        return []
    ours, theirs = _members(reply.json), _members(recorded)
    if name in MEMBERS:
        ours, theirs = (sorted({*each} - {"last_seq"}) for each in (ours, theirs))
    return [] if ours == theirs else [f"{name}: members {ours}, expected {theirs}"]


def test_a_server_without_an_organization_for_it(sqlite_store_url: str) -> None:
    exchanges = [each for each in EXCHANGES if each["name"].startswith("noshovey")]
    with open_shovey_desk(sqlite_store_url, serf={}) as desk:
        for exchange in exchanges:
            reply = desk.call(exchange["method"], exchange["path"], exchange.get("body"), None)
            assert (reply.status, reply.json) == (exchange["status"], exchange["response"])
    assert len(exchanges) == 2

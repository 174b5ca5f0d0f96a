"""``push-jobs whoami``: rights and rules, for people and for programs."""

from __future__ import annotations

import json
from typing import Any, Dict

import pytest
from command_run import Run
from pushy_stub import PushyStub

from push_jobs import Client
from push_jobs.errors import BadAnswer

ALICE: Dict[str, Any] = {
    "name": "alice",
    "kind": "user",
    "organization": "acme",
    "member": True,
    "read": {"allowed": True, "rule": "member of pushy_job_readers"},
    "write": {"allowed": False, "rule": "not in pushy_job_writers\x1b[2J"},
    "settings": {"allowed": True, "rule": "a user, as for reading"},
}


def test_for_people(stub: PushyStub, run: Run) -> None:
    stub.identity = ALICE
    code, out, err = run("whoami")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "name          alice (user)",
        "organization  acme",
        "member        yes",
        "",
        "MAY                        ALLOWED  RULE",
        "look at jobs and nodes     yes      member of pushy_job_readers",
        "start and cancel jobs      no       not in pushy_job_writers\\x1b[2J",
        "fetch own node's settings  yes      a user, as for reading",
    ]


def test_for_programs(stub: PushyStub, run: Run) -> None:
    stub.identity = {**ALICE, "member": False}
    expected = {**ALICE, "kind": "identity", "version": 1, "caller_kind": "user", "member": False}
    assert json.loads(run("whoami", "--format", "json").out) == expected
    assert json.loads(run("whoami", "--format", "jsonl").out) == expected


def test_for_scripts(stub: PushyStub, client: Client) -> None:
    stub.identity = ALICE
    found = client.whoami()
    assert (found.name, found.member, found.write.allowed) == ("alice", True, False)
    assert found.read.rule == "member of pushy_job_readers"


@pytest.mark.parametrize("key", list(ALICE))
def test_an_incomplete_answer_is_refused(stub: PushyStub, client: Client, key: str) -> None:
    stub.identity = {name: value for name, value in ALICE.items() if name != key}
    with pytest.raises(BadAnswer, match=key):
        client.whoami()

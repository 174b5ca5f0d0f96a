"""Lists of jobs: filters, pages, and which job comes first."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List
from urllib.parse import parse_qs, urlsplit

import pytest
from command_run import Run
from pushy_stub import Answer, PushyStub

from push_jobs import Client
from push_jobs.errors import BadAnswer, UsageError
from push_jobs.moments import parse_moment
from push_jobs_wire.states import JobStatus

NOON = datetime(2024, 5, 14, 12, tzinfo=timezone.utc)


def queries(stub: PushyStub) -> List[Dict[str, List[str]]]:
    """What was asked for, request by request."""
    return [parse_qs(urlsplit(seen.path).query) for seen in stub.seen]


def test_all_filters_reach_the_server(stub: PushyStub, client: Client) -> None:
    two_hours_east = timezone(timedelta(hours=2))
    found = client.jobs(
        status=["running", JobStatus.VOTING],
        node="web 1&x",
        command="restart \u00e4",
        requestor="alice",
        since=NOON,
        until=datetime(2024, 5, 14, 15, 30, tzinfo=two_hours_east),
        limit=7,
    )
    assert found == []
    assert queries(stub) == [
        {
            "status": ["running", "voting"],
            "node": ["web 1&x"],
            "command": ["restart \u00e4"],
            "requestor": ["alice"],
            "since": ["2024-05-14T12:00:00Z"],
            "until": ["2024-05-14T13:30:00Z"],
            "limit": ["7"],
        }
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "done"},
        {"since": datetime(2024, 5, 14)},
        {"limit": 0},
        {"node": "\udcff"},
    ],
)
def test_a_wrong_filter_is_not_sent(stub: PushyStub, client: Client, wrong: Dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        client.jobs(**wrong)
    assert stub.seen == []


def test_many_jobs_are_read_page_by_page(stub: PushyStub, client: Client) -> None:
    ids = [stub.add_job() for _ in range(2100)]
    assert [job.id for job in client.jobs()] == ids
    assert len(stub.seen) == 3
    assert [job.id for job in client.jobs(limit=1500)] == ids[-1500:]
    assert [query["limit"] for query in queries(stub)[3:]] == [["1000"], ["500"]]


def test_a_server_that_never_ends_its_list_is_left(stub: PushyStub, client: Client) -> None:
    stub.next_answers = [Answer(200, b'{"jobs":[],"next":"x"}')]
    assert client.jobs() == []
    stub.next_answers = [Answer(200, b'{"jobs":[],"next":7}')]
    with pytest.raises(BadAnswer, match="'next' is not text"):
        client.jobs()


def test_the_newest_jobs_are_listed_and_the_rest_is_mentioned(stub: PushyStub, run: Run) -> None:
    ids = [stub.add_job() for _ in range(101)]
    table = run("job", "list")
    assert [line.split()[0] for line in table.out.splitlines()[1:]] == ids[:0:-1]
    assert "the newest 100" in table.err and "--all" in table.err
    few = run("job", "list", "--limit", "2", "--format", "json")
    assert [job["id"] for job in json.loads(few.out)] == ids[-2:]
    assert "the newest 2 " in few.err
    everything = run("job", "list", "--all", "--format", "jsonl")
    assert [json.loads(line)["id"] for line in everything.out.splitlines()] == ids
    assert everything.err == ""


def test_options_of_the_command_are_filters(stub: PushyStub, run: Run) -> None:
    words = "--status running --status voting --node web1 --command true --requestor bob".split()
    done = run("job", "list", *words, "--since", "2024-05-14", "--until", "1h")
    assert (done.code, done.out, done.err) == (0, "", "no job matches\n")
    (query,) = queries(stub)
    until = datetime.fromisoformat(query.pop("until")[0][:-1] + "+00:00")
    assert timedelta(0) < datetime.now(timezone.utc) - until - timedelta(hours=1) < timedelta(0, 60)
    assert query == {
        "status": ["running", "voting"],
        "node": ["web1"],
        "command": ["true"],
        "requestor": ["bob"],
        "since": ["2024-05-14T00:00:00Z"],
        "limit": ["101"],
    }


@pytest.mark.parametrize(
    "words", [["--limit", "0"], ["--all", "--limit", "3"], ["--since", "soon"], ["--status", "x"]]
)
def test_wrong_options_are_wrong_usage(stub: PushyStub, run: Run, words: List[str]) -> None:
    assert run("job", "list", *words).code == 2
    assert stub.seen == []


def test_who_started_a_job_is_in_every_format(stub: PushyStub, run: Run) -> None:
    stub.add_job()
    (document,) = json.loads(run("job", "list", "--format", "json").out)
    assert (document["requestor"], document["requestor_kind"]) == ("alice", "user")
    assert " alice " in run("job", "list").out


@pytest.mark.parametrize(
    "text, moment",
    [
        ("2024-05-14", NOON.replace(hour=0)),
        ("2024-05-14T12:00", NOON),
        ("2024-05-14T12:00:00Z", NOON),
        (" 2024-05-14T14:00:00+02:00 ", NOON),
        ("90s", NOON - timedelta(seconds=90)),
        ("2h", NOON - timedelta(hours=2)),
        ("7d", NOON - timedelta(days=7)),
        ("2w", NOON - timedelta(days=14)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOON) == moment


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "2024-13-01", "999999999w", "yesterday"])
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 2024-05-14"):
        parse_moment(text, NOON)

"""Which commands over Serf count, what is said about the others, and what is never said."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Optional

import pytest
from serf_desk import JOB, OTHER, RUN, SerfDesk, signing_key

from push_jobs_agent.actions import Keep, Remember
from push_jobs_agent.refusals import QUIET
from push_jobs_agent.serf_runs import MOST_NOTICES
from push_jobs_wire import shovey

THIRD = "7d3b1c7e-2b4e-4a57-9a68-0d2e6f0d9a11"
STALE = "Authentication failed. Please check your system's clock."
A_WHILE = 60.0
"""Seconds in which anything that is told late would have been told."""


def invalid_reports(desk: SerfDesk) -> Dict[str, str]:
    """What the server is told about commands that do not count: the text by run."""
    return {
        said.fields["run_id"]: said.fields["error"]
        for said in desk.said
        if said.fields["status"] == "invalid"
    }


def resigned(**changes: Any) -> bytes:
    """A start that was changed after it was signed."""
    fields = json.loads(SerfDesk().payload())
    return shovey.encode({**fields, **changes})


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"run_id": 1}',
        b"[" * 100000,
        b'{"action": "start"}',
        b'{"action": "start", "run_id": null}',
        b'{"action": "start", "run_id": "../../etc"}',
        b'{"action": "start", "run_id": "1C29A55F-BE32-4EA0-A302-BAE080AB6F83"}',
        b'{"action": "start", "run_id": "1c29a55fbe324ea0a302bae080ab6f83"}',
        b"x" * 70000,
    ],
)
def test_what_names_no_run_is_logged_only(payload: bytes) -> None:
    desk = SerfDesk()
    desk.hear(payload)
    desk.advance(A_WHILE)
    assert (desk.said, desk.asked, desk.journal) == ([], [], {})
    assert [line.text for line in desk.logs] == ["refused a command over Serf"]


Make = Callable[[SerfDesk], bytes]


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda desk: desk.payload("", command="ls", timeout="x"),
            f"No action given for command ls with job ID {RUN}",
        ),
        (
            lambda desk: desk.payload(timeout="3m", time="now"),
            'strconv.Atoi: parsing "3m": invalid syntax',
        ),
        (
            lambda desk: desk.payload(timeout="9" * 19),
            'strconv.Atoi: parsing "9999999999999999999": value out of range',
        ),
        (lambda desk: desk.payload(time="now"), "'now' is no time of RFC 3339"),
        (lambda desk: desk.payload(time="2026-01-01T00:15:01Z"), STALE),
        (lambda desk: desk.payload(time="2025-12-31T23:44:59Z"), STALE),
    ],
)
def test_what_is_signed_is_answered_in_the_documented_order_and_words(
    make: Make, text: str
) -> None:
    desk = SerfDesk()
    desk.hear(make(desk))
    assert list(invalid_reports(desk)) == [RUN] and text in invalid_reports(desk)[RUN]
    assert (desk.asked, desk.journal) == ([], {})
    assert [entry[1:] for entry in desk.accepted] == [("start", JOB)]
    desk.accept_all()
    assert desk.runs.empty


def unsigned() -> bytes:
    fields = json.loads(SerfDesk().payload())
    del fields["signature"]
    return shovey.encode(fields)


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: resigned(command="rm"), "running 'rm' could not be verified! crypto/rsa: "),
        (lambda: resigned(signature="?"), "could not be verified! illegal base64 data"),
        (unsigned, "could not be verified!"),
        (lambda: resigned(action=""), "could not be verified!"),
        (lambda: resigned(timeout="3m"), "could not be verified!"),
        (lambda: resigned(timeout="9" * 19), "could not be verified!"),
        (lambda: resigned(time="now"), "could not be verified!"),
        (lambda: resigned(time="2026-01-01T00:15:01Z"), "could not be verified!"),
    ],
)
def test_what_nobody_signed_is_logged_once_and_never_reported(
    make: Callable[[], bytes], reason: str
) -> None:
    """Anybody in the cluster can send it, about any run: it must not change a run's status."""
    desk = SerfDesk()
    for _ in range(3):
        desk.hear(make())
    desk.advance(A_WHILE)
    assert (desk.said, desk.asked, desk.journal, desk.accepted) == ([], [], {}, [])
    (line,) = desk.logs
    assert line.level == "warning" and reason in line.fields["reason"]
    assert desk.runs.empty and A_WHILE > QUIET
    # The command itself is neither kept away nor told anything else of.
    desk.hear(desk.payload())
    desk.hear(make())
    desk.reply()
    desk.accept_all()
    desk.hear(make())
    desk.ended()
    desk.accept_all()
    assert desk.statuses() == ["running", "succeeded"]


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "2026-01-01T00:14:59Z"},
        {"time": "2025-12-31T23:45:01.25Z"},
        {"time": "2026-01-01T02:00:00+02:00"},
        {"more": "signed as well"},
        {"timeout": None},
        {"timeout": ""},
    ],
)
def test_these_count(changes: Dict[str, Optional[str]]) -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(changes=changes))
    assert desk.ops() == ["start"] and desk.said == []


def test_an_unknown_action_is_logged_only() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(action="reboot"))
    desk.advance(A_WHILE)
    assert (desk.said, desk.asked, desk.accepted) == ([], [], [])


def cancel_of(desk: SerfDesk, **changes: str) -> bytes:
    return shovey.encode({**json.loads(desk.payload("cancel")), **changes})


@pytest.mark.parametrize(
    "changes", [{"signature": "AAAA"}, {"time": "2020-01-01T00:00:00Z"}, {"action": "stop"}]
)
def test_a_bad_cancel_changes_and_reports_nothing(changes: Dict[str, str]) -> None:
    desk = SerfDesk()
    desk.start()
    told = len(desk.said)
    desk.hear(cancel_of(desk, **changes))
    desk.advance(A_WHILE)
    assert desk.ops() == ["start"] and len(desk.said) == told
    other = SerfDesk()
    other.hear(cancel_of(other, **changes))
    other.advance(A_WHILE)
    assert other.said == []


def test_nothing_is_said_about_a_run_that_is_or_was_here() -> None:
    desk = SerfDesk()
    desk.start()
    desk.hear(desk.payload(time="now"))
    desk.ended()
    desk.accept_all()
    desk.reply()
    assert desk.runs.empty
    desk.hear(desk.payload(time="now"))
    desk.restart()
    desk.found()
    desk.hear(desk.payload(time="now"))
    desk.advance(A_WHILE)
    assert desk.statuses() == ["running", "succeeded"]


def test_messages_of_another_day_are_not_answered() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(time="2025-12-01T00:00:00Z"))
    desk.advance(A_WHILE)
    assert desk.said == []


def test_notices_are_bounded_and_do_not_keep_a_real_command_away() -> None:
    desk = SerfDesk()
    for number in range(MOST_NOTICES + 8):
        run = f"{number:08x}-be32-4ea0-a302-bae080ab6f83"
        desk.hear(desk.payload(run=run, time="2025-12-31T12:00:00Z"))
    desk.hear(desk.payload(time="2025-12-31T12:00:00Z"))
    desk.hear(desk.payload())
    desk.advance(A_WHILE)
    assert len(desk.said) == MOST_NOTICES
    desk.reply()
    assert desk.runs.owns(JOB) and desk.runs.running == [JOB]


def test_an_accepted_command_is_refused_when_it_comes_again() -> None:
    desk = SerfDesk()
    start = desk.payload()
    desk.hear(start)
    desk.hear(start)
    assert desk.ops() == ["start"]
    desk.reply()
    desk.ended()
    desk.accept_all()
    desk.reply()
    desk.restart()
    desk.found()
    desk.hear(start)
    assert (desk.ops(), desk.puts) == ([], type(desk.puts)())
    desk.advance(2000.0)
    desk.hear(desk.payload())  # the same run, signed anew
    assert desk.ops() == []


def test_what_was_accepted_outlives_a_power_cut() -> None:
    """A start is on the disk as its run before the runner is asked, a cancel by itself."""
    desk = SerfDesk()
    actions = desk.runs.query(desk.payload(), desk.now)
    assert [each.durable for each in actions if isinstance(each, Keep)] == [True]
    desk.do(actions)
    actions = desk.runs.query(desk.payload("cancel"), desk.now)
    assert [each.durable for each in actions if isinstance(each, Remember)] == [True]
    desk = SerfDesk()
    actions = desk.runs.query(desk.payload(timeout="0"), desk.now)
    assert [each.durable for each in actions if isinstance(each, Remember)] == [True]


def test_a_cancel_that_overtakes_its_start_counts() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload("cancel"))
    desk.hear(desk.payload())
    assert (desk.ops(), desk.said) == ([], [])


def test_the_second_signature_is_required_once_it_was_there() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(run=OTHER, also_256=True))
    assert desk.need_256 and desk.ops() == ["start"]
    desk.hear(desk.payload())
    assert invalid_reports(desk) == {} and "SHA-256 is missing" in desk.logs[-1].fields["reason"]
    desk.restart()
    desk.found()
    desk.hear(desk.payload())
    assert desk.ops() == []
    desk.hear(desk.payload(run=THIRD, also_256=True))
    assert desk.ops() == ["start"]


def test_what_was_reported_as_invalid_does_not_run_any_more() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(time="2026-01-01T00:15:01Z"))
    assert list(invalid_reports(desk)) == [RUN]
    desk.hear(desk.payload())
    desk.accept_all()
    desk.hear(desk.payload())
    desk.restart()
    desk.found()
    desk.hear(desk.payload())
    desk.advance(A_WHILE)
    assert (desk.ops(), desk.statuses()) == ([], ["invalid"])


def test_another_key_is_another_server() -> None:
    desk = SerfDesk()
    numbers = signing_key(1).public_key().public_numbers()
    desk.runs.adjust((numbers.n, numbers.e), 900.0, 10.0, False)
    desk.hear(desk.payload())
    assert desk.ops() == [] and "verification error" in desk.logs[-1].fields["reason"]

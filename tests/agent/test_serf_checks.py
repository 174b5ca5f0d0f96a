"""Which commands over Serf count, what is said about the others, and what is never said."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Optional

import pytest
from serf_desk import JOB, OTHER, RUN, SerfDesk, signing_key

from push_jobs_agent.serf_runs import NOTICE_AFTER
from push_jobs_wire import shovey

THIRD = "7d3b1c7e-2b4e-4a57-9a68-0d2e6f0d9a11"
STALE = "Authentication failed. Please check your system's clock."


def invalid_reports(desk: SerfDesk) -> Dict[str, str]:
    """What the server is told about messages that do not count, after a while: the text by run."""
    desk.advance(NOTICE_AFTER)
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
    desk.advance(NOTICE_AFTER)
    assert (desk.said, desk.asked, desk.journal) == ([], [], {})
    assert [line.text for line in desk.logs] == ["refused a command over Serf"]


Make = Callable[[SerfDesk], bytes]


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda desk: desk.payload(command="ls", timeout="x")[:-1] + b',"action":null}',
            f"No action given for command ls with job ID {RUN}",
        ),
        (
            lambda desk: resigned(timeout="3m"),
            'strconv.Atoi: parsing "3m": invalid syntax',
        ),
        (
            lambda desk: resigned(timeout="9" * 19),
            'strconv.Atoi: parsing "9999999999999999999": value out of range',
        ),
        (
            lambda desk: resigned(command="rm"),
            f"Command id {RUN} running 'rm' could not be verified! crypto/rsa: verification error",
        ),
        (
            lambda desk: resigned(signature="?"),
            f"Command id {RUN} running 'chef-client' could not be verified! illegal base64 data",
        ),
        (lambda desk: resigned(time="now"), "could not be verified"),
        (lambda desk: desk.payload(time="now"), "'now' is no time of RFC 3339"),
        (lambda desk: desk.payload(time="2026-01-01T00:15:01Z"), STALE),
        (lambda desk: desk.payload(time="2025-12-31T23:44:59Z"), STALE),
    ],
)
def test_the_checks_come_in_the_documented_order_with_its_words(make: Make, text: str) -> None:
    desk = SerfDesk()
    desk.hear(make(desk))
    assert list(invalid_reports(desk)) == [RUN] and text in invalid_reports(desk)[RUN]
    assert (desk.asked, desk.journal) == ([], {})
    assert [entry[1:] for entry in desk.accepted] == [("start", JOB)]
    desk.accept_all()
    assert desk.runs.empty


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
    desk.advance(NOTICE_AFTER)
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
    desk.advance(NOTICE_AFTER)
    assert desk.ops() == ["start"] and len(desk.said) == told
    other = SerfDesk()
    other.hear(cancel_of(other, **changes))
    other.advance(NOTICE_AFTER)
    assert other.said == []


def test_nothing_is_said_about_a_run_that_is_or_was_here() -> None:
    desk = SerfDesk()
    desk.start()
    desk.hear(resigned(command="rm"))
    desk.ended()
    desk.accept_all()
    desk.reply()
    assert desk.runs.empty
    desk.hear(resigned(command="rm"))
    desk.restart()
    desk.found()
    desk.hear(resigned(command="rm"))
    desk.advance(NOTICE_AFTER)
    assert desk.statuses() == ["running", "succeeded"]


def test_messages_of_another_day_are_not_answered() -> None:
    desk = SerfDesk()
    desk.hear(desk.payload(time="2025-12-01T00:00:00Z"))
    desk.advance(NOTICE_AFTER)
    assert desk.said == []


def test_notices_are_bounded_and_do_not_keep_a_real_command_away() -> None:
    desk = SerfDesk()
    for number in range(100):
        desk.hear(resigned(run_id=f"{number:08x}-be32-4ea0-a302-bae080ab6f83"))
    desk.hear(resigned(command="rm"))
    desk.hear(desk.payload())
    desk.advance(NOTICE_AFTER)
    assert len(desk.said) == 32
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
    assert "SHA-256 is missing" in invalid_reports(desk)[RUN]
    desk.restart()
    desk.found()
    desk.hear(desk.payload())
    assert desk.ops() == []
    desk.hear(desk.payload(run=THIRD, also_256=True))
    assert desk.ops() == ["start"]


def test_a_forged_copy_that_is_faster_than_the_command_is_not_reported() -> None:
    desk = SerfDesk()
    desk.hear(resigned(command="rm"))
    desk.advance(NOTICE_AFTER - 1)
    desk.hear(desk.payload())
    desk.reply()
    desk.accept_all()
    desk.advance(NOTICE_AFTER)
    desk.ended()
    desk.accept_all()
    assert desk.statuses() == ["running", "succeeded"]


def test_what_was_reported_as_invalid_does_not_run_any_more() -> None:
    desk = SerfDesk()
    desk.hear(resigned(command="rm"))
    assert list(invalid_reports(desk)) == [RUN]
    desk.hear(desk.payload())
    desk.accept_all()
    desk.hear(desk.payload())
    desk.restart()
    desk.found()
    desk.hear(desk.payload())
    desk.advance(NOTICE_AFTER)
    assert (desk.ops(), desk.statuses()) == ([], ["invalid"])


def test_another_key_is_another_server() -> None:
    desk = SerfDesk()
    numbers = signing_key(1).public_key().public_numbers()
    desk.runs.adjust((numbers.n, numbers.e), 900.0, 10.0, False)
    desk.hear(desk.payload())
    assert desk.ops() == [] and "verification error" in invalid_reports(desk)[RUN]

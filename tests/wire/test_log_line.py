"""The form of log lines: in order, in one line, and nobody but us can begin a field."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timezone
from typing import Dict

from hypothesis import given
from hypothesis import strategies as st

from push_jobs_wire.log_line import log_line, moment


def test_plain_signs_stay_bare_and_the_rest_is_quoted() -> None:
    fields = {"event": "job ended", "job": "a-1", "code": 3, "reason": "", "last": None}
    assert log_line(fields, False) == 'event="job ended" job=a-1 code=3 reason="" last=None'


def test_json_takes_any_value() -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    line = log_line({"code": 3, "at": at}, True)
    assert json.loads(line) == {"code": 3, "at": "2026-01-02 00:00:00+00:00"}


def test_moments_are_utc_without_fractions() -> None:
    assert moment(1767225600.987) == "2026-01-01T00:00:00Z"


@given(st.dictionaries(st.sampled_from("abc"), st.text(), min_size=1))
def test_a_line_says_what_was_put_in_and_stays_one_line(fields: Dict[str, str]) -> None:
    text, as_json = log_line(fields, False), log_line(fields, True)
    assert json.loads(as_json) == fields
    for line in (text, as_json):
        assert line.isascii() and line.isprintable() and len(line.splitlines()) == 1
    assert [word.split("=")[0] for word in shlex.split(text)] == list(fields)

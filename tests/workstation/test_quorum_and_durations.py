"""Quorums and durations as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_jobs.durations import parse_duration, show_duration
from push_jobs.errors import UsageError
from push_jobs.quorum import parse_quorum

NODES = st.integers(1, 20_000)


@given(st.integers(0, 100), NODES)
def test_a_share_is_rounded_up_exactly(percent: int, nodes: int) -> None:
    quorum = parse_quorum(f"{percent}%", nodes)
    share = Fraction(percent, 100) * nodes
    assert share <= quorum < share + 1


@given(NODES, st.data())
def test_a_number_of_nodes_is_taken_as_it_is(nodes: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, nodes))
    assert parse_quorum(str(number), nodes) == number


def test_shares_that_floating_point_gets_wrong() -> None:
    assert parse_quorum("28%", 25) == 7
    assert parse_quorum("56%", 25) == 14


@given(st.text())
def test_any_other_quorum_is_refused_with_a_reason(text: str) -> None:
    try:
        assert 0 <= parse_quorum(text, 3) <= 3
    except UsageError as error:
        assert "quorum" in str(error)


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "50 %", "½", "٣", "101%", "4", "0x1"])
def test_refused_quorums(text: str) -> None:
    with pytest.raises(UsageError):
        parse_quorum(text, 3)


@given(st.integers(1, 500_000), st.sampled_from(["", "s", "m", "h"]))
def test_durations(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


@pytest.mark.parametrize("text", ["", "s", "0", "0s", "-5", "1.5m", "1d", "2147483648", "600000h"])
def test_refused_durations(text: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "seconds, shown",
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12, "12 s"), (59.9, "1 m 00 s"), (185, "3 m 05 s")],
)
def test_durations_for_people(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown
    assert show_duration(7200) == "2 h 00 m"

"""No text from elsewhere reaches a terminal with anything in it that a terminal would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from push_jobs.terminal import escape_body, escape_line

HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"


def harmful(text: str, but: str = "") -> str:
    """Return what should not be in ``text``."""
    return "".join(c for c in text if unicodedata.category(c) in HARMFUL and c not in but)


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0x10FFFF)))
def test_a_line_keeps_nothing_harmful(text: str) -> None:
    assert harmful(escape_line(text)) == ""


@settings(deadline=None)
@given(st.binary() | st.text(st.characters(blacklist_categories=["Cs"])).map(str.encode))
def test_a_body_keeps_nothing_harmful_but_line_ends_and_tabs(data: bytes) -> None:
    assert harmful(escape_body(data), "\n\t" + JOINERS) == ""


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["C", "Z"]) | st.just(" ")))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert escape_line(text) == text


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", r"a\x0ab\x09c"),
        ("\x7f\x9b2J", r"\x7f\x9b2J"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("\u2066\u200f\u200b\ufeff", r"\u2066\u200f\u200b\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        ("größe 日本 \u00a0", "größe 日本 \u00a0"),
    ],
)
def test_how_a_line_is_shown(text: str, shown: str) -> None:
    assert escape_line(text) == shown


@pytest.mark.parametrize(
    "data, shown",
    [
        (b"one\n\ttwo\n", "one\n\ttwo\n"),
        (b"dos\r\n", "dos\n"),
        (b"50%\r100%", r"50%\x0d100%"),
        (b"\xff\xc3(", r"\xff\xc3("),
        ("👩\u200d🔧".encode(), "👩\u200d🔧"),
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ],
)
def test_how_a_body_is_shown(data: bytes, shown: str) -> None:
    assert escape_body(data) == shown

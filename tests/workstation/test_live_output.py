"""Lines of many nodes as they come: whole, with their node, harmless, nothing twice."""

from __future__ import annotations

import base64
import json
from typing import Generator, Iterable, List, Optional

import pytest

from push_jobs.errors import BadAnswer, ServerUnreachable, UntrustedServer
from push_jobs.live_output import LinePrinter, OutputFollower, OutputPiece


def event(name: str, **data: object) -> bytes:
    text = json.dumps({"timestamp": "2026-01-01 00:00:00.000000Z", **data})
    return f"event: {name}\ndata: {text}\n\n".encode()


def output(offset: int, data: bytes, node: str = "web1", stream: str = "stdout") -> bytes:
    encoded = base64.b64encode(data).decode()
    return event("output", node=node, stream=stream, offset=offset, data=encoded)


END = event("job_complete", status="complete")


class Feeds:
    """Feeds that are opened one after the other; None stands for a server that is away."""

    def __init__(self, *feeds: Optional[Iterable[bytes]]) -> None:
        self._feeds = list(feeds)

    def open(self) -> Generator[bytes, None, None]:
        feed = self._feeds.pop(0)
        if feed is None:
            raise ServerUnreachable("push.test", "it is away")
        yield from feed


def pieces(*feeds: Optional[Iterable[bytes]]) -> List[OutputPiece]:
    return list(OutputFollower(Feeds(*feeds).open, 60.0, lambda error: None).pieces())


def test_a_feed_that_begins_anew_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_jobs.live_output._PAUSE", 0.0)
    found = pieces(
        [output(0, b"one\n"), output(0, b"err\n", stream="stderr")],
        None,
        [output(0, b"one\ntwo\n"), output(0, b"err\n", stream="stderr"), END],
    )
    assert found == [
        OutputPiece("web1", "stdout", 0, b"one\n"),
        OutputPiece("web1", "stderr", 0, b"err\n"),
        OutputPiece("web1", "stdout", 4, b"two\n"),
    ]


def test_a_server_that_is_not_trusted_is_not_asked_again() -> None:
    def refuse() -> Generator[bytes, None, None]:
        raise UntrustedServer("push.test", "its certificate is of somebody else")
        yield b""

    borne: List[object] = []
    with pytest.raises(UntrustedServer):
        list(OutputFollower(refuse, 60.0, borne.append).pieces())
    assert borne == []


@pytest.mark.parametrize(
    "nonsense",
    [
        event("output", node="web1"),
        event("output", node="web1", stream="stdout", offset="x", data=""),
        event("output", node="web1", stream="stdout", offset=0, data="%%%"),
    ],
)
def test_nonsense_is_no_output(nonsense: bytes) -> None:
    with pytest.raises(BadAnswer):
        pieces([nonsense, END])


def test_only_whole_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LinePrinter()
    printer.take(OutputPiece("web1", "stdout", 0, b"he"))
    printer.take(OutputPiece("web2", "stdout", 0, b"other\r\n"))
    assert capsys.readouterr().out == "web2: other\n"
    printer.take(OutputPiece("web1", "stdout", 2, b"llo\nrest"))
    assert capsys.readouterr().out == "web1: hello\n"
    printer.end()
    assert capsys.readouterr().out == "web1: rest\n"


def test_errors_of_nodes_go_to_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    LinePrinter().take(OutputPiece("web1", "stderr", 0, b"oh\n"))
    assert capsys.readouterr() == ("", "web1: oh\n")


def test_what_was_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LinePrinter()
    printer.take(OutputPiece("web1", "stdout", 0, b"begin"))
    printer.take(OutputPiece("web1", "stdout", 1005, b"end\n"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["web1: begin", "web1: [... 1000 bytes left out ...]", "web1: end"]


def test_nothing_gives_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    LinePrinter().take(OutputPiece("w\x1b]0;x", "stdout", 0, b"a\x1b[2Jb\xff\n"))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b[2J" in out and "\\xff" in out

"""The output of a run as chunks: borders, numbers, what was left out, and the same chunk again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_agent.run_output import PART, Channel, Chunk
from push_jobs_agent.runner import output as spool

Source = bytes


def pump(channel: Channel, source: Source, least: int = 0) -> List[Tuple[int, str, bool]]:
    """All chunks that can be made; ``least`` is the first byte that is still there."""
    made: List[Tuple[int, str, bool]] = []
    for _ in range(1000):
        part = channel.wanted()
        if part is not None:
            offset, most = part
            begin = max(offset, least)
            channel.read(begin, source[begin : begin + most])
            continue
        channel.decide()
        if channel.chunk is None or channel.text is None:
            return made
        made.append((channel.chunk.seq, channel.text, channel.chunk.last))
        channel.taken()
    raise AssertionError("chunks without end")


def channel_of(size: int, ended: bool = True) -> Channel:
    channel = Channel("stdout")
    channel.grown(size, ended)
    return channel


@pytest.mark.parametrize(
    "data, texts",
    [
        (b"", [""]),
        (b"x", ["x"]),
        (b"a" * PART, ["a" * PART]),
        (b"a" * (PART + 1), ["a" * PART, "a"]),
        (b"a" * (PART - 1) + "€".encode(), ["a" * (PART - 1), "€"]),
        (b"\xff\xfe\0", ["\ufffd\ufffd\0"]),
        ("€".encode()[:2], ["\ufffd"]),
    ],
)
def test_chunks_of_an_ended_channel(data: bytes, texts: List[str]) -> None:
    made = pump(channel_of(len(data)), data)
    assert made == [(n, text, n == len(texts) - 1) for n, text in enumerate(texts)]


def test_a_character_that_is_not_complete_waits() -> None:
    channel = channel_of(4, ended=False)
    data = "ab€".encode()
    assert pump(channel, data[:4]) == [(0, "ab", False)]
    channel.grown(5, False)
    assert pump(channel, data) == [(1, "€", False)]
    channel.grown(5, True)
    assert pump(channel, data) == [(2, "", True)]
    assert channel.closed and channel.wanted() is None


def test_the_end_after_half_a_character() -> None:
    channel = channel_of(2, ended=False)
    data = "€".encode()[:2]
    assert pump(channel, data) == []
    channel.grown(2, True)
    assert pump(channel, data) == [(0, "\ufffd", True)]


def test_what_was_left_out_is_marked() -> None:
    channel = channel_of(10, ended=False)
    assert pump(channel, b"0123456789") == [(0, "0123456789", False)]
    channel.grown(100, True)
    data = b"0123456789" + b"." * 80 + b"abcdefghij"
    mark = "\n[... 80 bytes left out ...]\n"
    assert pump(channel, data, least=90) == [(1, mark + "abcdefghij", True)]


def test_bytes_that_the_spool_lost_are_not_waited_for() -> None:
    channel = channel_of(100)
    assert pump(channel, b"abc") == [(0, "abc", True)]


def restored(channel: Channel) -> Channel:
    return Channel.restored("stdout", json.loads(json.dumps(channel.record())))


def chunk_on_its_way(channel: Channel, data: bytes) -> Optional[Chunk]:
    while (part := channel.wanted()) is not None:
        channel.read(part[0], data[part[0] : sum(part)])
    channel.decide()
    return channel.chunk


def test_a_chunk_is_the_same_for_the_next_agent_whatever_came_meanwhile() -> None:
    channel = channel_of(4, ended=False)
    assert chunk_on_its_way(channel, b"one ") == Chunk(0, 0, 4, False)
    again = restored(channel)
    again.grown(7, True)
    assert pump(again, b"one two") == [(0, "one ", False), (1, "two", True)]


def test_a_chunk_whose_bytes_are_gone_ends_where_it_ended() -> None:
    channel = channel_of(10, ended=False)
    chunk_on_its_way(channel, b"0123456789")
    for least, texts in (
        (4, ["\n[... 4 bytes left out ...]\n456789"]),
        (50, ["\n[... 10 bytes left out ...]\n"]),
    ):
        again = restored(channel)
        again.grown(60, False)
        data = b"0123456789" + b"." * 50
        assert pump(again, data, least)[:1] == [(0, texts[0], False)]
    again = restored(channel)
    assert pump(again, b"") == [(0, "\n[... 10 bytes left out ...]\n", False)]


@given(st.binary(max_size=200), st.lists(st.integers(1, 60), max_size=8))
def test_all_text_comes_once_however_it_is_cut(data: bytes, steps: List[int]) -> None:
    channel, size, texts = Channel("stderr"), 0, []
    for step in steps:
        size = min(len(data), size + step)
        channel.grown(size, False)
        texts += pump(channel, data[:size])
    channel.grown(len(data), True)
    texts += pump(channel, data)
    assert "".join(text for _, text, _ in texts) == data.decode("utf-8", "replace")
    assert [seq for seq, _, _ in texts] == list(range(len(texts)))
    assert [last for _, _, last in texts] == [False] * (len(texts) - 1) + [True]


def test_the_runners_own_files(tmp_path: Path) -> None:
    path = str(tmp_path / "stdout")
    writer = spool.Channel(path, 1000)
    channel = Channel("stdout")
    data = "".join(f"{number:05d} €\n" for number in range(1000)).encode()
    text = ""
    for start in range(0, len(data), 700):
        writer.feed(data[start : start + 700])
        channel.grown(writer.size, start + 700 >= len(data))
        if start == 0 or channel.ended:
            while True:
                while (part := channel.wanted()) is not None:
                    channel.read(*spool.read_part(path, *part))
                channel.decide()
                if channel.chunk is None:
                    break
                text += channel.text or ""
                channel.taken()
    assert channel.closed
    head, rest = text.split("\n[... ")
    left_out, tail = rest.split(" bytes left out ...]\n")
    whole = len(head.encode()) + int(left_out) + len(tail.encode("utf-8", "replace"))
    assert data.startswith(head.encode()) and data.decode().endswith(tail.lstrip("\ufffd"))
    assert abs(whole - len(data)) < 12

"""Output that comes in chunks: together again, bounded, and only for whom it belongs to."""

from __future__ import annotations

from typing import List, Tuple

from hypothesis import given
from hypothesis import strategies as st
from stored_jobs import created, job_id

from push_jobs_server.records import NodeChanged, OutputChunk, OutputStored
from push_jobs_server.store import Store
from push_jobs_server.store.output_statements import MARK, joined
from push_jobs_wire.states import NodeStatus

ONE = job_id(1)


def chunk(
    offset: int, data: bytes, org: str = "acme", node: str = "web1", head: int = 8, tail: int = 8
) -> OutputChunk:
    return OutputChunk(ONE, node, "stdout", offset, data, org, head, tail)


def complete(node: str = "web1") -> "list[NodeChanged | OutputStored]":
    return [NodeChanged(ONE, node, NodeStatus.SUCCEEDED), OutputStored(ONE, node, b"", b"")]


def test_output_is_whole_only_after_the_result(store: Store) -> None:
    store.write([created(), chunk(0, b"one\n"), chunk(4, b"two\n")])
    assert store.output("acme", ONE, "web1", "stdout") is None
    assert store.output("acme", ONE, "web1", "stdout", partial=True) == b"one\ntwo\n"
    assert store.output("acme", ONE, "web1", "stderr", partial=True) is None
    store.write(complete())
    assert store.output("acme", ONE, "web1", "stdout") == b"one\ntwo\n"
    assert store.output("acme", ONE, "web1", "stderr") == b""


def test_chunks_belong_to_a_node_of_a_job_of_that_organization(store: Store) -> None:
    store.write([created(), chunk(0, b"x", org="other"), chunk(0, b"x", node="stranger")])
    assert store.output_from("acme", ONE, "web1", "stdout", 0) == []
    store.write([chunk(0, b"mine")])
    assert store.output_from("other", ONE, "web1", "stdout", 0) == []
    assert store.output_from("acme", ONE, "web1", "stdout", 2) == [(2, b"ne")]


def test_a_chunk_that_comes_again_is_the_longer_one(store: Store) -> None:
    store.write([created(), chunk(0, b"0123"), chunk(4, b"45")])
    store.write([chunk(4, b"456789"), chunk(0, b"01")])
    assert store.output("acme", ONE, "web1", "stdout", partial=True) == b"0123456789"


def test_the_middle_gives_way(store: Store) -> None:
    store.write([created()])
    for offset in range(0, 64, 8):
        tail = max(8, offset + 8 - 16)
        store.write([chunk(offset, b"%08d" % offset, tail=tail)])
    store.write(complete())
    kept = store.output_from("acme", ONE, "web1", "stdout", 0)
    assert [offset for offset, _ in kept] == [0, 48, 56]
    text = store.output("acme", ONE, "web1", "stdout", limit=24)
    assert text == b"00000000" + MARK % 44 + b"004800000056"
    late = store.output_from("acme", ONE, "web1", "stdout", 0, limit=24)
    assert late == [(0, b"00000000"), (52, b"0048"), (56, b"00000056")]
    assert store.output_from("acme", ONE, "web1", "stdout", 49, limit=24)[0] == (49, b"0000048")


def test_an_old_agents_output_can_be_read_from_any_position(store: Store) -> None:
    store.write([created(), NodeChanged(ONE, "web1", NodeStatus.SUCCEEDED)])
    store.write([OutputStored(ONE, "web1", b"all at once", b"")])
    assert store.output_from("acme", ONE, "web1", "stdout", 0) == [(0, b"all at once")]
    assert store.output_from("acme", ONE, "web1", "stdout", 11) == []


def test_removed_with_its_job(store: Store) -> None:
    store.write([created(), chunk(0, b"x" * 100)])
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
        [left] = connection.exec_driver_sql("SELECT count(*) FROM output_chunks").one()
    assert left == 0


@given(st.binary(max_size=200), st.integers(1, 80), st.lists(st.integers(1, 30), max_size=30))
def test_however_it_was_cut_the_text_is_the_same(data: bytes, limit: int, sizes: List[int]) -> None:
    chunks: List[Tuple[int, bytes]] = []
    position = 0
    for size in [*sizes, len(data)]:
        begin = max(0, position - size // 2)  # some bytes come twice
        piece = data[begin : position + size]
        chunks.append((begin, piece))
        position = begin + len(piece)
    chunks.sort()
    head = limit // 2
    if len(data) <= limit:
        assert joined(chunks, limit) == data
    cut = [(o, d) for o, d in chunks if o >= head or o + len(d) <= head]
    if cut == chunks and len(data) > limit:
        tail = data[len(data) - (limit - head) :] if limit - head else b""
        expected = data[:head] + MARK % (len(data) - limit) + tail
        assert joined(chunks, limit) == expected

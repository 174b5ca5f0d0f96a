"""When nodes were seen, on SQLite and PostgreSQL."""

from __future__ import annotations

from push_jobs_server.node_records import NodeSighted
from push_jobs_server.records import SessionKeyStored
from push_jobs_server.store import Store

FIRST = NodeSighted("acme", "web1", 1000.5, 1001.5, 1002.5, "no heartbeat for too long", "0.1.0")


def test_the_newest_sighting_of_each_node_is_kept(store: Store) -> None:
    second = NodeSighted("other", "web1", None, 5.0)
    last = NodeSighted("acme", "web1", 2000.0)
    store.write([FIRST, second])
    assert sorted(store.sightings(), key=lambda each: each.org) == [FIRST, second]
    store.write([FIRST, last])
    assert sorted(store.sightings(), key=lambda each: each.org) == [last, second]


def test_words_of_a_node_never_keep_it_from_being_stored(store: Store) -> None:
    store.write([NodeSighted("acme", "web1", version="a\0b\ud800")])
    (found,) = store.sightings()
    assert found.version == "a\ufffdb?"


def test_the_age_of_session_keys_is_kept_where_it_is_known(store: Store) -> None:
    store.write(
        [SessionKeyStored("acme", "web1", b"x", 5.5), SessionKeyStored("acme", "db1", b"y")]
    )
    assert store.session_keys_made() == {("acme", "web1"): 5.5}
    store.write([SessionKeyStored("acme", "web1", b"z", 6.5)])
    assert store.session_keys_made() == {("acme", "web1"): 6.5}

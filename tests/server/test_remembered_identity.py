"""Local identities that a server remembers: right at once after each change, cheap between."""

from __future__ import annotations

from typing import Any, Callable, List

import pytest
from api_desk import public_pem
from sqlalchemy import event

from push_jobs_server.identity.base import Principal
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.identity.remembered import RememberedIdentity
from push_jobs_server.store import Store

_listen: Any = event.listen


@pytest.fixture
def local(store: Store) -> LocalIdentity:
    """Organization acme with user alice, as an administrator's command would make them."""
    made = LocalIdentity(store)
    made.create_org("acme", "Acme")
    made.create_user("alice", public_pem("alice"))
    made.add_user_to_org("acme", "alice")
    made.create_client("acme", "web1", public_pem("web01"))
    made.create_group("acme", "inner")
    made.add_to_group("acme", "admins", "group", "inner")
    return made


@pytest.fixture
def remembered(store: Store) -> RememberedIdentity:
    """What a server asks; it shares nothing with the administrator but the database."""
    return RememberedIdentity(LocalIdentity(store))


Change = Callable[[LocalIdentity], None]


def _answers(remembered: RememberedIdentity) -> List[object]:
    """The answers of one request about alice."""
    identity = remembered.for_request()
    return [
        identity.has_organization("acme"),
        identity.principals("acme", "alice"),
        identity.is_member("acme", "admins", "user", "alice"),
        identity.is_member("acme", "pushy_job_readers", "user", "alice"),
        identity.clients("acme") if identity.has_organization("acme") else None,
    ]


@pytest.mark.parametrize(
    "change, place, expected",
    [
        (lambda it: it.delete_org("acme"), 0, False),
        (lambda it: it.remove_key("user", None, "alice", "default"), 1, []),
        (lambda it: it.remove_user_from_org("acme", "alice"), 1, "outside"),
        (lambda it: it.delete_user("alice"), 1, []),
        (lambda it: it.add_to_group("acme", "inner", "user", "alice"), 2, True),
        (lambda it: it.delete_group("acme", "admins"), 2, None),
        (lambda it: it.create_group("acme", "pushy_job_readers"), 3, False),
        (lambda it: it.create_client("acme", "web2", public_pem("web02")), 4, ["web1", "web2"]),
        (lambda it: it.delete_client("acme", "web1"), 4, []),
    ],
)
def test_a_change_counts_with_the_next_request(
    local: LocalIdentity,
    remembered: RememberedIdentity,
    change: Change,
    place: int,
    expected: object,
) -> None:
    first = _answers(remembered)
    assert _answers(remembered) == first
    if expected == "outside":
        expected = [Principal("alice", "user", False, public_pem("alice"))]
    assert first[place] != expected
    change(local)
    assert _answers(remembered)[place] == expected


def test_a_change_that_is_taken_back_is_no_change(
    local: LocalIdentity, remembered: RememberedIdentity
) -> None:
    local.add_to_group("acme", "inner", "user", "alice")
    assert _answers(remembered)[2] is True
    local.remove_from_group("acme", "inner", "user", "alice")
    assert _answers(remembered)[2] is False
    local.add_to_group("acme", "inner", "user", "alice")
    assert _answers(remembered)[2] is True


def test_between_changes_a_request_asks_the_database_once(
    local: LocalIdentity, remembered: RememberedIdentity, store: Store
) -> None:
    statements: List[str] = []
    with store.reading() as db:
        _listen(db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    identity = remembered.for_request()
    identity.principals("acme", "alice")
    del statements[:]
    again = remembered.for_request()
    assert again.principals("acme", "alice") == local.principals("acme", "alice")
    assert len(statements) == 2, statements  # the version, and what this test asked by itself


def test_who_was_refused_gets_in_as_soon_as_he_is_known(
    local: LocalIdentity, remembered: RememberedIdentity
) -> None:
    assert remembered.for_request().principals("acme", "carol") == []
    local.create_client("acme", "carol", public_pem("bob"))
    assert [each.kind for each in remembered.for_request().principals("acme", "carol")] == [
        "client"
    ]

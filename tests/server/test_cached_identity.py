"""Answers about identities that are kept for a while."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest

from push_jobs_server.identity import cached
from push_jobs_server.identity.base import IdentityUnavailable, Principal, Questions
from push_jobs_server.identity.cached import CachedIdentity

WEB = [Principal("web", "client", True, "PEM")]


class Source:
    """Answers what a test has put in, and counts how often it was asked."""

    def __init__(self) -> None:
        self.orgs = {"acme"}
        self.known: Dict[str, List[Principal]] = {"web": WEB}
        self.member: Optional[bool] = None
        self.broken = False
        self.asked = 0

    def _count(self) -> None:
        self.asked += 1
        if self.broken:
            raise IdentityUnavailable("away")

    def close(self) -> None:
        """Count as a question, so that tests see it."""
        self._count()

    def for_request(self) -> Questions:
        """See Identity."""
        return self

    def has_organization(self, org: str) -> bool:
        """See Identity."""
        self._count()
        return org in self.orgs

    def clients(self, org: str) -> Optional[List[str]]:
        """See Identity."""
        return sorted(self.known)

    def principals(self, org: str, name: str) -> List[Principal]:
        """See Identity."""
        self._count()
        return self.known.get(name, [])

    def is_member(self, org: str, group: str, kind: str, name: str) -> Optional[bool]:
        """See Identity."""
        self._count()
        return self.member


@pytest.fixture
def parts() -> Tuple[Source, CachedIdentity, List[float]]:
    """A source, a cache of ten seconds before it, and the clock."""
    source, now = Source(), [100.0]
    return source, CachedIdentity(source, 10.0, lambda: now[0]), now


Parts = Tuple[Source, CachedIdentity, List[float]]


def test_an_answer_counts_for_its_time(parts: Parts) -> None:
    source, identity, now = parts
    for _ in range(3):
        assert identity.has_organization("acme")
        assert identity.principals("acme", "web") == WEB
        assert identity.is_member("acme", "admins", "user", "web") is None
    assert source.asked == 3
    source.orgs, source.known, source.member = set(), {}, True
    now[0] = 109.9
    assert identity.has_organization("acme")
    assert identity.principals("acme", "web") == WEB
    assert identity.is_member("acme", "admins", "user", "web") is None
    now[0] = 110.0
    assert not identity.has_organization("acme")
    assert identity.principals("acme", "web") == []
    assert identity.is_member("acme", "admins", "user", "web") is True


def test_questions_are_told_apart(parts: Parts) -> None:
    source, identity, _ = parts
    source.member = True
    assert identity.is_member("acme", "admins", "user", "web") is True
    source.member = False
    for different in (
        ("other", "admins", "user", "web"),
        ("acme", "readers", "user", "web"),
        ("acme", "admins", "client", "web"),
        ("acme", "admins", "user", "db"),
    ):
        assert identity.is_member(*different) is False


def test_who_is_unknown_now_may_come_at_any_time(parts: Parts) -> None:
    source, identity, _ = parts
    assert identity.principals("acme", "db") == []
    assert not identity.has_organization("other")
    source.known["db"] = WEB
    source.orgs.add("other")
    assert identity.principals("acme", "db") == WEB
    assert identity.has_organization("other")


def test_errors_are_not_kept_nor_hidden(parts: Parts) -> None:
    source, identity, now = parts
    assert identity.principals("acme", "web") == WEB
    now[0], source.broken = 110.0, True
    with pytest.raises(IdentityUnavailable):
        identity.principals("acme", "web")
    source.broken = False
    assert identity.principals("acme", "web") == WEB


def test_it_does_not_grow_without_end(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    source, identity, _ = parts
    monkeypatch.setattr(cached, "_MOST", 3)
    for number in range(4):
        identity.is_member("acme", "admins", "user", f"u{number}")
    source.asked = 0
    for number in range(1, 4):
        identity.is_member("acme", "admins", "user", f"u{number}")
    assert source.asked == 0
    identity.is_member("acme", "admins", "user", "u0")
    assert source.asked == 1


def test_closing_it_closes_its_source(parts: Parts) -> None:
    source, identity, _ = parts
    identity.close()
    assert source.asked == 1

"""A node gets another session key from time to time, and no message is lost over it."""

from __future__ import annotations

from typing import List

import pytest
from engine_desk import KEYS, START, EngineDesk

from push_jobs_server.engine.core import EngineRules
from push_jobs_server.records import Grant, SessionKeyStored
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.framing import check_hmac_frame, seal_hmac
from push_jobs_wire.messages import Heartbeat, JobRef, Reply
from push_jobs_wire.states import NodeInput

OLD, NEW, NEWER = KEYS["acme", "a"], b"n" * 32, b"m" * 32
RULES = EngineRules(session_key_lifetime=100.0)
FIRST = Heartbeat(extensions=1, jobs=())


class KeyDesk(EngineDesk):
    """A desk with one node whose session key was made ``age`` seconds ago."""

    def __init__(self, age: float = 100.0) -> None:
        super().__init__(rules=RULES, keys_made={("acme", "a"): START - age})

    def fetch(self, new: bytes = NEW) -> bytes:
        """What the node gets; ``new`` is what it would be if it is a new one."""
        self.begin()
        self.engine.admission.admit(
            Grant("K", "acme", "a", self.now + 9999), new, self.answers.append
        )
        self.collect()
        self.store()
        answer = self.answers[-1]
        assert isinstance(answer, bytes)
        return answer

    def signed(self, key: bytes, message: "Heartbeat | Reply") -> List[int]:
        """Deliver a message; how many messages were dropped so far, and how many went out."""
        body = self.body("a", message)
        self.raw([seal_hmac(key, body), body], "acme/a")
        return [sum(self.engine.inbox.dropped.values()), len(self.sent)]

    def speaks(self) -> bytes:
        """The key with which the node is spoken to now."""
        self.engine.roster.rehab(("acme", "a"), self.now)
        ((_, header, body),) = self.engine.take_frames()
        for key in (OLD, NEW, NEWER):
            try:
                check_hmac_frame(key, header, body)
                return key
            except RemoteError:
                pass
        raise AssertionError("signed with no key of this test")


def test_a_key_stays_until_it_is_old_enough() -> None:
    desk = KeyDesk(age=99.0)
    assert desk.fetch() == OLD
    desk.now += 1.0
    assert desk.fetch() == NEW
    stored = [change for change in desk.stored if isinstance(change, SessionKeyStored)]
    assert stored == [SessionKeyStored("acme", "a", NEW, START + 1.0)]
    assert desk.fetch(NEWER) == NEW
    desk.now += 100.0
    assert desk.fetch(NEWER) == NEWER


def test_a_key_of_unknown_age_counts_from_the_first_look() -> None:
    desk = EngineDesk(rules=RULES)
    for seconds, key in ((0.0, OLD), (99.0, OLD), (1.0, b"z" * 32)):
        desk.now += seconds
        desk.begin()
        desk.engine.admission.admit(
            Grant("K", "acme", "a", START * 2), b"z" * 32, desk.answers.append
        )
        desk.collect()
        desk.store()
        assert desk.answers[-1] == key


def test_the_old_key_counts_until_the_node_uses_the_new_one() -> None:
    desk = KeyDesk()
    assert desk.signed(OLD, FIRST)[0] == 0
    desk.fetch()
    assert desk.signed(OLD, Heartbeat(extensions=1))[0] == 0
    assert desk.speaks() == OLD
    assert desk.signed(NEW, FIRST)[0] == 0
    assert desk.speaks() == NEW
    assert desk.signed(OLD, Heartbeat(extensions=1))[0] == 1
    assert desk.engine.inbox.dropped == {"bad_signature": 1}


def test_a_new_key_that_never_reached_the_node_does_no_harm() -> None:
    desk = KeyDesk()
    desk.signed(OLD, FIRST)
    desk.fetch(NEW)
    desk.now += 100.0
    desk.fetch(NEWER)
    assert desk.signed(OLD, Heartbeat(extensions=1))[0] == 0
    assert desk.signed(NEW, Heartbeat(extensions=1))[0] == 1
    assert desk.signed(NEWER, FIRST)[0] == 1
    assert desk.speaks() == NEWER


@pytest.mark.parametrize("ended", [False, True])
def test_no_key_is_replaced_during_a_job(ended: bool) -> None:
    desk = KeyDesk()
    desk.signed(OLD, FIRST)
    desk.start()
    for kind in (NodeInput.ACK_COMMIT, NodeInput.ACK_RUN):
        desk.signed(OLD, Reply(kind, JobRef("j1")))
    if ended:
        desk.signed(OLD, Reply(NodeInput.SUCCEEDED, JobRef("j1")))
    assert desk.fetch() == (NEW if ended else OLD)

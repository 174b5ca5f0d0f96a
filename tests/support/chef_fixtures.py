"""Fixtures for real Chef-compatible servers; a conftest.py imports those that it wants.

One server serves all tests of a process: each test makes organizations, users and clients of its
own, by names from ``unique``.
"""

from __future__ import annotations

import itertools
from typing import Callable, Iterator

import pytest
from chef_servers import ChefZero, Goiardi
from peer import STARTED, Missing, skip

_numbers = itertools.count(1)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes a name that no other test of this process has."""
    return lambda word: f"{word}{next(_numbers)}"


@pytest.fixture(scope="session")
def chef_zero(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChefZero]:
    """A running chef-zero."""
    try:
        server = ChefZero(tmp_path_factory.mktemp("chef-zero"))
    except Missing as reason:
        skip(reason)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def goiardi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goiardi]:
    """A running goiardi."""
    try:
        server = Goiardi(tmp_path_factory.mktemp("goiardi"))
    except Missing as reason:
        skip(reason)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def peer_logs() -> Iterator[None]:
    """Print what peers logged during a test; pytest shows it when the test fails."""
    before = {id(peer): peer.logged() for peer in STARTED}
    yield
    for peer in STARTED:
        text = peer.log(before.get(id(peer), 0))
        if text:
            print(f"--- {peer.name}, process {peer.pid}\n{text}")

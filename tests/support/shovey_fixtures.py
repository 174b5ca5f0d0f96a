"""Fixtures with real Serf agents and goiardi; a conftest.py imports those that it wants."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest
from goiardi_shovey import GoiardiShovey
from peer import Missing, skip
from serf_cluster import SerfCluster


@contextmanager
def open_serf(folder: Path, **options: Any) -> Iterator[SerfCluster]:
    """A cluster without agents, or the end of the test where Serf is missing."""
    try:
        cluster = SerfCluster(folder, **options)
    except Missing as reason:
        skip(reason)
    with cluster:
        yield cluster


@contextmanager
def open_shovey(folder: Path, cluster: SerfCluster) -> Iterator[GoiardiShovey]:
    """A goiardi with an agent of its own in the cluster, or the end of the test without one."""
    folder.mkdir()
    try:
        server = GoiardiShovey(folder, cluster.add("goiardi"))
    except Missing as reason:
        skip(reason)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def serf(tmp_path: Path) -> Iterator[SerfCluster]:
    """A cluster without agents, with the fast gossip of one machine."""
    with open_serf(tmp_path / "serf", profile="local") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shovey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoiardiShovey]:
    """A goiardi with Shovey for all tests of a file; its agent is alone at first."""
    folder = tmp_path_factory.mktemp("shovey")
    with open_serf(folder / "serf", profile="local") as cluster:
        with open_shovey(folder / "goiardi", cluster) as server:
            yield server

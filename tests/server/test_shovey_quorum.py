"""The quorum of a job whose nodes were named twice: it is never less than what was asked for."""

from __future__ import annotations

import json
from typing import Any, Iterator, List

import pytest
from shovey_desk import JOBS, ShoveyDesk, open_shovey_desk

from push_jobs_server.api.shovey_body import read_start


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url) as made:
        yield made


@pytest.mark.parametrize(
    "nodes, quorum, needed",
    [
        (["g", "g"], 1, 1),
        (["g", "g"], "50%", 1),
        (["g", "g"], 2, 1),
        (["a", "a", "b"], 1, 1),
        (["a", "a", "b"], 3, 2),
        (["a", "a", "b"], None, 2),
        (["a", "a", "a", "b"], "50%", 1),
        (["a", "a", "a", "b"], "100%", 2),
        (["a", "a"], 0, 0),
    ],
)
def test_the_quorum_of_names_that_came_twice(nodes: List[str], quorum: Any, needed: int) -> None:
    body = {"command": "ls", "nodes": nodes, "quorum": quorum}
    assert read_start(json.dumps(body).encode()).quorum == needed


def test_a_down_node_that_came_twice_is_no_quorum(desk: ShoveyDesk) -> None:
    body = {"command": "ls", "nodes": ["gone", "gone"], "quorum": 1}
    assert desk.call("POST", JOBS, body).status == 400 and desk.orders.taken == []

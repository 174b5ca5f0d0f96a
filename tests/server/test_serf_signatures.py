"""How commands over Serf are signed: as far as a node's agent is known, and so that they fit."""

from __future__ import annotations

from typing import Dict, Iterator, List

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from engine_desk import EngineDesk
from shovey_desk import NODE, OTHER, ShoveyDesk, open_shovey_desk

from push_jobs_server.engine.serf_orders import NodeKind, Order, SerfKnown
from push_jobs_server.serf_payloads import payload
from push_jobs_server.serf_records import NodeStatusSeen, RunReport
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire import shovey
from push_jobs_wire.serf_query import SIZE_LIMIT, query_size

ORG = "acme"
JOB = "0" * 31 + "1"
SERVER = "server.example.test"


@pytest.fixture(scope="module")
def keys() -> Dict[int, rsa.RSAPrivateKey]:
    """Keys of the sizes that operators use."""
    return {size: rsa.generate_private_key(65537, size) for size in (2048, 3072, 4096)}


def payload_of(key: rsa.RSAPrivateKey, kind: NodeKind, command: str, *nodes: str) -> bytes:
    order = Order(shovey.START, JOB, command, 3600, nodes, kind)
    return payload(order, key, 1767225600.0, SERVER, SIZE_LIMIT)


@pytest.mark.parametrize("kind", NodeKind)
@pytest.mark.parametrize("size", [2048, 3072, 4096])
@pytest.mark.parametrize("length", [2, 11, 25])
def test_a_command_fits_into_a_query_whatever_key_signs_it(
    keys: Dict[int, rsa.RSAPrivateKey], kind: NodeKind, size: int, length: int
) -> None:
    node = "web-0123456789.example"
    content = payload_of(keys[size], kind, "x" * length, node)
    assert query_size(SERVER, shovey.QUERY, content, [node]) <= SIZE_LIMIT
    numbers = keys[size].public_key().public_numbers()
    with_256 = shovey.verify(shovey.decode(content), (numbers.n, numbers.e))
    assert with_256 is (kind is not NodeKind.OTHER)


def test_two_signatures_travel_where_they_fit_and_it_is_not_proven_that_one_is_enough(
    keys: Dict[int, rsa.RSAPrivateKey],
) -> None:
    def signatures(kind: NodeKind, size: int) -> List[str]:
        fields = shovey.decode(payload_of(keys[size], kind, "ls", "web1"))
        return sorted(name for name in fields if name.startswith("signature"))

    assert signatures(NodeKind.OTHER, 2048) == ["signature"]
    assert signatures(NodeKind.CLAIMS, 2048) == ["signature", "signature256"]
    assert signatures(NodeKind.CLAIMS, 4096) == ["signature256"]
    assert signatures(NodeKind.OURS, 2048) == ["signature256"]


# What is known of a node


def started(known: SerfKnown = SerfKnown(ORG)) -> EngineDesk:
    desk = EngineDesk(serf=known)
    desk.engine.serf.problem = None
    return desk


def proven(desk: EngineDesk, ours: bool = True) -> None:
    """The node reports about something of long ago."""
    report = RunReport("gone", "s1", "running", ours=ours)
    desk.engine.serf.report(report, (), lambda result: None)
    desk.collect()
    desk.store()


def kind_of(desk: EngineDesk, job: str = "j1") -> NodeKind:
    """As which a start is signed."""
    desk.start(job, nodes=("s1",))
    desk.collect()
    desk.store()
    (order,) = desk.engine.serf.take_orders()
    return order.kind


def test_a_heartbeat_claims_and_the_next_one_may_claim_otherwise() -> None:
    desk = started()
    desk.engine.serf.heartbeat("s1", "up", True)
    assert kind_of(desk) is NodeKind.CLAIMS
    desk.engine.serf.heartbeat("s1", "up", False)
    assert kind_of(desk, "j2") is NodeKind.OTHER


def test_a_node_that_claims_it_no_more_gets_both_signatures_until_it_reports() -> None:
    """It has a schob again, or somebody faked the heartbeat: either agent can check both."""
    desk = started()
    desk.engine.serf.heartbeat("s1", "up", True)
    proven(desk)
    desk.engine.serf.heartbeat("s1", "up", False)
    assert kind_of(desk) is NodeKind.CLAIMS
    desk.engine.serf.heartbeat("s1", "up", True)
    assert kind_of(desk, "j2") is NodeKind.OURS
    desk.engine.serf.heartbeat("s1", "up", False)
    proven(desk)
    assert kind_of(desk, "j3") is NodeKind.OURS


def test_it_is_known_after_the_node_was_away_and_after_a_restart() -> None:
    desk = started()
    desk.engine.serf.heartbeat("s1", "up", True)
    proven(desk)
    desk.engine.serf.gone("s1", "its Serf agent left")
    desk.engine.serf.heartbeat("s1", "up", True)
    desk.collect()
    desk.store()
    assert kind_of(desk) is NodeKind.OURS
    latest = [each for each in desk.stored if isinstance(each, NodeStatusSeen)][-1]
    assert kind_of(started(SerfKnown(ORG, [latest]))) is NodeKind.OURS


def test_a_report_of_another_agent_takes_it_back() -> None:
    desk = started()
    desk.engine.serf.heartbeat("s1", "up", False)
    proven(desk)
    proven(desk, ours=False)
    assert kind_of(desk) is NodeKind.OTHER


# Over the API and in the database


@pytest.fixture
def desk(store_url: str) -> Iterator[ShoveyDesk]:
    with open_shovey_desk(store_url) as made:
        made.beat(NODE)
        made.beat(OTHER)
        yield made


def kinds(desk: ShoveyDesk) -> List[NodeKind]:
    desk.orders.taken.clear()
    desk.start(NODE)
    return [order.kind for order in desk.orders.taken]


def test_the_node_itself_proves_it_and_nobody_else(desk: ShoveyDesk) -> None:
    job = desk.start(NODE)
    body = {"status": "running", "extensions": 1}
    path = f"/shovey/jobs/{job}/{NODE}"
    assert desk.call("PUT", path, body, "alice").status == 200
    assert kinds(desk) == [NodeKind.OTHER]
    assert desk.report(job, "running", extensions=1).status == 200
    assert kinds(desk) == [NodeKind.OURS]
    (latest,) = [each for each in SerfReads(desk.desk.store).latest() if each.node == NODE]
    assert latest.ours and latest.status == "up"
    assert desk.report(job, "succeeded").status == 200
    assert kinds(desk) == [NodeKind.OTHER]

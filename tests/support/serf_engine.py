"""The engine with nodes over Serf on a desk: no sockets, no threads, no sleeping."""

from __future__ import annotations

from typing import List, Tuple

from engine_desk import EngineDesk

from push_jobs_server.engine.serf_orders import SerfKnown
from push_jobs_server.serf_records import RunReport

ORG = "acme"


def desk_with(*nodes: str, extended: bool = False) -> EngineDesk:
    """An engine with nodes that are up; ``extended``: as their heartbeats say, with our agents."""
    desk = EngineDesk(serf=SerfKnown(ORG))
    desk.engine.serf.problem = None
    for node in nodes:
        desk.engine.serf.heartbeat(node, "up", extended)
    desk.collect()
    desk.store()
    return desk


def proven(desk: EngineDesk, *nodes: str) -> EngineDesk:
    """Nodes of ours have reported about something of long ago."""
    for node in nodes:
        desk.engine.serf.heartbeat(node, "up", True)
        desk.engine.serf.report(RunReport("gone", node, "running", ours=True), (), lambda _: None)
    desk.collect()
    desk.store()
    return desk


def orders(desk: EngineDesk) -> List[Tuple[str, str, Tuple[str, ...]]]:
    """What is sent once all is stored."""
    desk.collect()
    desk.store()
    return [(each.action, each.job_id, each.nodes) for each in desk.engine.serf.take_orders()]


def report(desk: EngineDesk, node: str, word: str, job: str = "j1") -> None:
    """A node reports."""
    desk.engine.serf.report(RunReport(job, node, word), (), lambda _: None)
    desk.collect()
    desk.store()

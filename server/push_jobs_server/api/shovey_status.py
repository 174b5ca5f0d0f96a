"""Statuses of nodes, shown the Shovey way (shovey 2.9)."""

from __future__ import annotations

from typing import Any, Dict, List

from push_jobs_server.api.services import Caller, Failure, Services, unavailable
from push_jobs_server.api.shovey_asked import Asked
from push_jobs_server.api.shovey_documents import status_document
from push_jobs_server.api.urls import base_url
from push_jobs_server.serf_records import NodeStatusSeen
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.errors import PushJobsError


class ShoveyStatus:
    """``status/all/nodes``, ``status/node/NAME/latest`` and ``status/node/NAME/all``.

    Args:
        org: the organization whose nodes these are.
    """

    def __init__(self, services: Services, org: str) -> None:
        self._services = services
        self._org = org
        self._reads = SerfReads(services.store)

    def show(self, asked: "Asked") -> Any:
        """Answer by the shape of the path. Raises Failure."""
        parts = asked.parts
        if parts[0] == "all" and len(parts) == 2:
            if parts[1] != "nodes":
                raise Failure(400, "Invalid object to get status for")
            return self._all(asked)
        if len(parts) == 3 and parts[0] == "node" and parts[2] in ("latest", "all"):
            seen = self._of_node(asked.caller, parts[1])
            return self._latest(seen, parts[1]) if parts[2] == "latest" else _documents(seen)
        raise Failure(400, "Bad request")

    def _all(self, asked: "Asked") -> List[Dict[str, Any]]:
        """Every registered node, with its last status if it has one, sorted by name."""
        latest = {seen.node: seen for seen in self._reads.latest(self._org)}
        registered = self._registered(asked.caller)
        base = base_url(asked.environ, self._services.settings["trusted_proxies"])
        names = latest if registered is None else registered
        return [_summary(name, latest, base) for name in sorted(names)]

    def _of_node(self, caller: Caller, name: str) -> List[NodeStatusSeen]:
        """The statuses of a registered node, the newest first."""
        try:
            principals = [] if "\0" in name else caller.identity.principals(self._org, name)
        except PushJobsError as error:
            raise unavailable(f"clients can't be read now: {error}") from None
        if not any(each.kind == "client" for each in principals):
            raise Failure(404, f"node '{name}' not found")
        return self._reads.statuses(self._org, name)

    def _registered(self, caller: Caller) -> Any:
        try:
            return caller.identity.clients(self._org)
        except PushJobsError as error:
            raise unavailable(f"clients can't be read now: {error}") from None

    def _latest(self, seen: List[NodeStatusSeen], name: str) -> Dict[str, Any]:
        if not seen:
            raise Failure(404, f"no statuses found for node {name}")
        return status_document(seen[0])


def _summary(name: str, latest: Dict[str, NodeStatusSeen], base: str) -> Dict[str, Any]:
    if name not in latest:
        return {"node_name": name, "status": "no record"}
    return {**status_document(latest[name]), "url": f"{base}/status/node/{name}/latest"}


def _documents(seen: List[NodeStatusSeen]) -> List[Dict[str, Any]]:
    return [status_document(each) for each in seen]

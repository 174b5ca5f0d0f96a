"""Every node, also those that are down or were never seen, and why (our own v1/nodes)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from push_jobs_server.api.common import admit_reader
from push_jobs_server.api.node_document import node_detail, node_summary
from push_jobs_server.api.services import Caller, Services, ask_engine, bad_gateway, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.engine import node_details
from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.node_records import NodeDetail
from push_jobs_wire.errors import PushJobsError


class AllNodes:
    """``v1/nodes`` and ``v1/nodes/NODE``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def list(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Dict[str, Any]:
        """All registered nodes and all that are up, sorted by name.

        Where clients can't be listed, all that were ever seen come instead.
        """
        caller = admit_reader(self._services, environ, accept, org)
        registered = _registered(caller, org)
        seen: List[NodeDetail] = ask_engine(
            self._services, lambda engine, answer: answer(node_details.details(engine, org))
        )
        found = {
            node.name: node
            for node in seen
            if registered is None or node.online or node.name in registered
        }
        for name in registered or ():
            found.setdefault(name, NodeDetail(name, False, False))
        nodes = []
        for name in sorted(found):
            known = None if registered is None else name in registered
            refused = self._services.refused.get(org, name)
            nodes.append(node_summary(found[name], known, refused))
        return {"nodes": nodes}

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str, node: str) -> Dict[str, Any]:
        """One node of any name; of one never heard of there is nothing to tell but that."""
        caller = admit_reader(self._services, environ, accept, org)
        registered = _is_registered(caller, org, node)
        found = ask_engine(
            self._services, lambda engine, answer: answer(node_details.detail(engine, (org, node)))
        )
        return node_detail(found, registered, self._services.refused.get(org, node))


def _registered(caller: Caller, org: str) -> Optional["frozenset[str]"]:
    try:
        names = caller.identity.clients(org)
    except PushJobsError as error:
        raise unavailable(f"clients can't be read now: {error}") from None
    return None if names is None else frozenset(names)


def _is_registered(caller: Caller, org: str, node: str) -> bool:
    try:
        found = caller.identity.principals(org, node)
    except IdentityUnavailable as error:
        raise bad_gateway("clients", error) from None
    except PushJobsError as error:
        raise unavailable(f"clients can't be read now: {error}") from None
    return any(each.kind == "client" for each in found)

"""Which nodes are there (pushy-api 4.7)."""

from __future__ import annotations

from typing import Any, Dict, List

from push_jobs_server.api.documents import availability, node_state
from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.rights import READ, authorize
from push_jobs_server.api.services import Services, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.records import Busy


class Nodes:
    """``node_states`` and ``node_states/NODE``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def list(self, environ: Dict[str, Any], accept: Accepts, org: str) -> List[Dict[str, str]]:
        """The nodes that are connected, sorted by name."""
        self._admit(environ, accept, org)
        views = self._ask(lambda engine, answer: answer(engine.nodes(org)))
        return [availability(view) for view in views]

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str, node: str) -> Dict[str, str]:
        """The state of any name; one never heard of is offline."""
        self._admit(environ, accept, org)
        return node_state(self._ask(lambda engine, answer: answer(engine.node((org, node)))))

    def _admit(self, environ: Dict[str, Any], accept: Accepts, org: str) -> None:
        caller = SignedRequest(self._services, environ).authenticate(org)
        authorize(self._services, org, caller, READ)
        accept.check()

    def _ask(self, request: Any) -> Any:
        try:
            return self._services.engine.ask(request)
        except Busy as busy:
            raise unavailable(str(busy)) from None

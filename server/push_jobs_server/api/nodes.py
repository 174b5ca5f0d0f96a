"""Which nodes are there (pushy-api 4.7)."""

from __future__ import annotations

from typing import Any, Dict, List

from push_jobs_server.api.common import admit_reader
from push_jobs_server.api.documents import availability, node_state
from push_jobs_server.api.services import Services, ask_engine
from push_jobs_server.api.status import Accepts


class Nodes:
    """``node_states`` and ``node_states/NODE``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def list(self, environ: Dict[str, Any], accept: Accepts, org: str) -> List[Dict[str, str]]:
        """The nodes that are connected, sorted by name."""
        admit_reader(self._services, environ, accept, org)
        views = ask_engine(self._services, lambda engine, answer: answer(engine.nodes(org)))
        return [availability(view) for view in views]

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str, node: str) -> Dict[str, str]:
        """The state of any name; one never heard of is offline."""
        admit_reader(self._services, environ, accept, org)
        return node_state(
            ask_engine(self._services, lambda engine, answer: answer(engine.node((org, node))))
        )

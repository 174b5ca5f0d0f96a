"""The status page and the CA's certificate: the two answers for which nobody has to sign."""

from __future__ import annotations

from typing import Any, Dict, Protocol

from push_jobs_server.api.services import Failure, Services, ask_engine
from push_jobs_server.records import EngineStatus


class Accepts(Protocol):
    """What a handler needs to know of the caller's Accept header."""

    def check(self) -> None:
        """Raise Failure 406 when the caller does not take what the route has."""


class Status:
    """``/pushy/_status`` (pushy-api 4.2) and ``/pushy/v1/ca``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, environ: Dict[str, Any], accept: Accepts) -> Dict[str, Any]:
        """That the server lives; ids of jobs are not for strangers (BETTER)."""
        accept.check()
        status: EngineStatus = ask_engine(
            self._services, lambda engine, answer: answer(engine.status())
        )
        return {
            "status": "it's alive",
            "incarnation_id": status.incarnation_id,
            "node_fsm_count": status.nodes_online,
            "job_processes": [],
        }

    def certificate(self, environ: Dict[str, Any], accept: Accepts) -> bytes:
        """The CA's certificate, for clients that know its fingerprint."""
        accept.check()
        if not self._services.facts.ca:
            raise Failure(404, ["this server has no certificate authority of its own"])
        return self._services.facts.ca.encode("ascii")

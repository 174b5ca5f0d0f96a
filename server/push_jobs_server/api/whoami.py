"""Who the server takes a caller for, what he may do, and why: ``v1/whoami``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict

from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.rights import READ, WRITE, Ruling, ruling, settings_ruling
from push_jobs_server.api.services import Caller, Services
from push_jobs_server.api.status import Accepts


class WhoAmI:
    """``v1/whoami``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str) -> Dict[str, Any]:
        """Answers everybody whose signature verifies, also those outside the organization."""
        caller, member = SignedRequest(self._services, environ).identify(org)
        accept.check()
        outside = Ruling(False, f"not associated with organization '{org}'")
        rulings = self._rulings(org, caller) if member else {}
        return {
            "name": caller.name,
            "kind": caller.kind,
            "organization": org,
            "member": member,
            **{name: asdict(rulings.get(name, outside)) for name in (READ, WRITE, "settings")},
        }

    def _rulings(self, org: str, caller: Caller) -> Dict[str, Ruling]:
        services = self._services
        found = {action: ruling(org, caller, action) for action in (READ, WRITE)}
        return {**found, "settings": settings_ruling(services, org, caller, caller.name)}

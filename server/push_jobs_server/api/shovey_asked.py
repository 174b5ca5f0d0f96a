"""What the handlers of the Shovey routes get."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

from push_jobs_server.api.services import Caller


class Asked(NamedTuple):
    """A request of somebody known: ``parts`` are the pieces of the path below the root."""

    method: str
    parts: List[str]
    body: bytes
    caller: Caller
    environ: Dict[str, Any]

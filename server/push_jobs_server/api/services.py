"""What the HTTP routes work with, and the answers that are no success."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Protocol, Union

from push_jobs_server.api.refused_fetches import RefusedFetches
from push_jobs_server.engine.thread import EngineThread
from push_jobs_server.feeds.readers import Feeds
from push_jobs_server.identity.base import Identity, IdentityUnavailable, Questions
from push_jobs_server.records import Busy
from push_jobs_server.store import Store
from push_jobs_wire.settings import Values

log = logging.getLogger("push_jobs_server.api")


@dataclass(frozen=True)
class ServerFacts:
    """What the server tells nodes and strangers about itself (pushy-api 4.1)."""

    incarnation_id: str
    host: str
    heartbeat_port: int
    command_port: int
    public_key: str
    curve_public_key: str
    ca: str = ""


class RefusalTaker(Protocol):
    """Hears of requests that were refused."""

    def take(self, environ: Dict[str, Any], org: Optional[str], failure: Failure) -> None:
        """Record that a request was answered with ``failure``, if that was a refusal."""


@dataclass(frozen=True)
class Services:
    """The parts of a running server that routes may use; ``clock`` gives the wall clock."""

    settings: Values
    facts: ServerFacts
    store: Store
    identity: Identity
    engine: EngineThread
    feeds: Feeds
    clock: Callable[[], float] = time.time
    refusals: Optional[RefusalTaker] = None
    refused: RefusedFetches = field(default_factory=RefusedFetches)


class Failure(Exception):
    """Raised to end a request with a status and a JSON body ``{"error": ...}``.

    ``error`` is a list for authentication and authorization, a plain string for job bodies, as
    existing automation compares them (pushy-api 1.6).
    """

    def __init__(
        self,
        status: int,
        error: Union[str, List[str]],
        headers: Optional[Dict[str, str]] = None,
    ) -> None:
        super().__init__(status, error)
        self.status = status
        self.error = error
        self.headers = headers or {}

    @property
    def text(self) -> str:
        """The error as one line."""
        return self.error if isinstance(self.error, str) else "; ".join(self.error)


def unavailable(why: str) -> Failure:
    """503: nothing was done, the caller may try again."""
    return Failure(503, [why], {"Retry-After": "5"})


def or_busy(act: Callable[[], Any]) -> Any:
    """What ``act`` returns; raises Failure 503 when the engine, or the feeds, take no more now."""
    try:
        return act()
    except Busy as busy:
        raise unavailable(str(busy)) from None


def ask_engine(services: Services, request: Any) -> Any:
    """The engine's answer; raises Failure 503 when it can't be had. See ``EngineThread.ask``."""
    return or_busy(lambda: services.engine.ask(request))


def bad_gateway(what: str, why: IdentityUnavailable) -> Failure:
    """502: the Chef server did not say who this is or what he may do (pushy-api 3.1)."""
    log.warning("no %s from the Chef server: %s", what, why)
    return Failure(502, [f"Failed to connect to erchef to get {what}: {why}"])


@dataclass(frozen=True)
class Caller:
    """Who made a request: the entry of the key that verified it.

    ``identity`` is whom that request asks about rights.
    """

    name: str
    kind: str
    public_key: str
    identity: Questions = field(repr=False, compare=False)
    request_key: str = field(repr=False, default="")
    address: Optional[str] = None

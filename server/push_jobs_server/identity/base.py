"""What the HTTP API asks about people, nodes and groups. Who answers is the operator's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Protocol, Tuple

from push_jobs_wire.errors import PushJobsError, RemoteError


class IdentityError(PushJobsError):
    """Raised when organizations, users, clients or groups can't be changed as asked."""


class IdentityUnavailable(RemoteError):
    """Raised when the server that knows the identities does not answer as it should."""


@dataclass(frozen=True)
class Principal:
    """One key of a user or client of a name (pushy-api 3.1).

    Args:
        kind: ``user`` or ``client``.
        member: False for a user who exists but is not in the organization.
        public_key: PEM text.
    """

    name: str
    kind: str
    member: bool
    public_key: str


@dataclass(frozen=True)
class Group:
    """The direct members of a group, by name in alphabetical order."""

    users: Tuple[str, ...] = ()
    clients: Tuple[str, ...] = ()
    groups: Tuple[str, ...] = ()


class Questions(Protocol):
    """What a request may ask.

    Every method may raise StoreUnavailable, IdentityUnavailable or another PushJobsError when
    nobody can answer now.
    """

    def has_organization(self, org: str) -> bool:
        """True when there is such an organization."""

    def principals(self, org: str, name: str) -> List[Principal]:
        """One entry per key of the users and clients of this name; none when it is unknown."""

    def clients(self, org: str) -> Optional[List[str]]:
        """The names of all clients of an organization; None when they can't be listed."""

    def is_member(self, org: str, group: str, kind: str, name: str) -> Optional[bool]:
        """Whether a user or client is in a group or a group below it; None: no such group."""


class Identity(Protocol):
    """Where identities come from. Asked with every request; changes count with the next one."""

    def close(self) -> None:
        """Release what is held open; nothing may be asked any more."""

    def for_request(self) -> Questions:
        """Who answers the questions of one request, as things are now; raises as they do."""


class Source(Identity, Questions, Protocol):
    """An identity source that can also be asked by itself."""

"""Who may do what in an organization, and the rule that says so (pushy-api 3.2, 3.3).

The same rulings let a caller in, keep him out and are shown by ``v1/whoami``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

from push_jobs_server.api.services import Caller, Failure, Services, bad_gateway, unavailable
from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_wire.errors import PushJobsError

READ, WRITE = "read", "write"
ANSWER_ONLY = ("GET", "HEAD")
"""Methods that change nothing."""
_GROUPS = {READ: "pushy_job_readers", WRITE: "pushy_job_writers"}
_ADMINS = "admins"


@dataclass(frozen=True)
class Ruling:
    """Whether something is allowed, and by which rule, in words for people."""

    allowed: bool
    rule: str


def ruling(org: str, caller: Caller, action: str) -> Ruling:
    """Whether a member of an organization may read, or start and cancel jobs (``write``)."""
    group = _GROUPS[action]
    member = _member(org, group, caller)
    if member is not None:
        return Ruling(member, f"member of {group}" if member else f"not in {group}")
    if action == READ:
        return Ruling(True, f"no group {group} exists, and every member of {org} may")
    admin = _member(org, _ADMINS, caller)
    words = {
        True: f"member of {_ADMINS}",
        False: f"not in {_ADMINS}",
        None: f"there is no {_ADMINS}",
    }
    return Ruling(bool(admin), f"no group {group} exists, and {words[admin]}")


def may_see(org: str, caller: Caller) -> bool:
    """Whether somebody may look at jobs and nodes over the Shovey routes (shovey 2.2).

    They are for operators: who may start jobs, and the group of readers where there is one. A node
    that reads there would see what is done on others.
    """
    return _member(org, _GROUPS[READ], caller) or ruling(org, caller, WRITE).allowed


def settings_ruling(services: Services, org: str, caller: Caller, node: str) -> Ruling:
    """Whether a member of an organization may fetch the settings of a node."""
    if caller.kind != "client":
        read = ruling(org, caller, READ)
        return replace(read, rule=f"a user, as for reading: {read.rule}")
    if not services.settings["validate_client_node_name"]:
        return Ruling(True, f"every client of {org} may: validate_client_node_name is off")
    return Ruling(caller.name == node, f"a client, for the node of its own name: {caller.name}")


def authorize(org: str, caller: Caller, action: str) -> None:
    """Step 15: reader and writer groups (pushy-api 3.2). Raises Failure 403."""
    if not ruling(org, caller, action).allowed:
        refuse(caller)


def refuse(caller: Caller) -> None:
    """Answer that the caller has no right to do this."""
    text = f"User or client '{caller.name}' does not have access to that action on this server."
    raise Failure(403, [text])


def _member(org: str, group: str, caller: Caller) -> Optional[bool]:
    try:
        return caller.identity.is_member(org, group, caller.kind, caller.name)
    except IdentityUnavailable as error:
        raise bad_gateway("group", error) from None
    except PushJobsError as error:
        raise unavailable(f"groups can't be read now: {error}") from None

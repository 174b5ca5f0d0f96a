"""A look at what the settings say of Serf: what the server starts with, but works without."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import List, Optional

from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.settings_serf import split_address
from push_jobs_server.store import Store
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.errors import PushJobsError
from push_jobs_wire.settings import Values
from push_jobs_wire.shovey_words import NODE_UP

_PATIENCE = 2.0
"""Seconds for the agent, which mostly is on the same machine."""


def find_notes(values: Values) -> List[str]:
    """Return a text for each thing that keeps nodes over Serf away, but not the server down."""
    org = values["serf.organization"]
    if org is None:
        return []
    notes = []
    orgs = _organizations(values)
    if orgs is not None and org not in orgs:
        known = ", ".join(orgs) or "none"
        notes.append(f"serf.organization: there is no organization {org}; there are: {known}")
    problem = agent_problem(values)
    if problem is not None:
        notes.append(
            f"serf.address: no Serf agent can be reached at {values['serf.address']}: {problem}; "
            "the server starts without it and keeps trying"
        )
    return notes


def agent_problem(values: Values) -> Optional[str]:
    """Return why nobody can connect to the Serf agent from here, or None."""
    try:
        socket.create_connection(split_address(values["serf.address"]), _PATIENCE).close()
    except (OSError, UnicodeError) as error:  # the latter from names that no name server takes
        return getattr(error, "strerror", None) or str(error)
    return None


def nodes_up(values: Values) -> Optional[int]:
    """Return how many nodes are up over Serf; None when the database does not say."""
    try:
        with closing(Store(values["database.url"])) as store:
            seen = SerfReads(store).latest(values["serf.organization"])
    except PushJobsError:
        return None
    return sum(each.status == NODE_UP for each in seen)


def _organizations(values: Values) -> Optional[List[str]]:
    """The organizations that are known here; None when another server or nobody knows them."""
    if values["identity"] != "local":
        return None
    try:
        with closing(Store(values["database.url"])) as store:
            return list(LocalIdentity(store).orgs())
    except PushJobsError:  # find_problems tells of it
        return None

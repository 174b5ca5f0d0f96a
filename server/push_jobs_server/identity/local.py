"""Organizations, users, clients, groups and public keys in the server's own database.

Private keys never come here. Each change is one transaction and counts with the next request.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional, Tuple

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.engine import Connection

from push_jobs_server import audit
from push_jobs_server.identity import queries
from push_jobs_server.identity.base import Group, IdentityError, Principal, Questions
from push_jobs_server.identity.names import check_name, check_organization, check_text
from push_jobs_server.identity.rows import add, equal, exists, need, need_org, pairs, remove
from push_jobs_server.store import Store
from push_jobs_server.store.changes import audit_row
from push_jobs_server.store.tables import audit as audit_table
from push_jobs_server.store.tables import (
    client_keys,
    clients,
    grants,
    group_clients,
    group_groups,
    group_users,
    identity_version,
    jobs,
    node_sightings,
    org_groups,
    org_users,
    organizations,
    session_keys,
    user_keys,
    users,
)
from push_jobs_wire.chef_auth import load_public_key
from push_jobs_wire.errors import LocalError

FIRST_KEY = "default"
"""Name of the key that a user or client is created with."""

_MEMBERS = {"user": group_users, "client": group_clients, "group": group_groups}
_ACTORS = {"user": org_users, "client": clients, "group": org_groups}


class LocalIdentity:
    """Identities in the tables beside the jobs. Safe to use from many threads.

    All changes raise IdentityError when something exists already, doesn't exist, or has a name or
    key that can't be used.

    Args:
        store: the database.
        operator: who makes changes, for the audit trail; a row goes with each change.
    """

    def __init__(self, store: Store, operator: Optional[str] = None) -> None:
        self._store = store
        self._operator = operator

    def close(self) -> None:
        """Do nothing: the store belongs to whoever opened it."""

    def for_request(self) -> Questions:
        """Itself."""
        return self

    def version(self) -> int:
        """Another number after each change, whichever process made it."""
        with self._store.reading() as db:
            # As text: this is asked with every request, and a compiled query costs twice as much.
            return int(db.exec_driver_sql("SELECT version FROM identity_version").scalar())

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """One transaction for a change; servers notice it by the version."""
        with self._store.writing() as db:
            version = identity_version.c.version
            db.execute(update(identity_version).values({version: version + 1}))
            yield db

    # What requests ask

    def has_organization(self, org: str) -> bool:
        """True when there is such an organization."""
        with self._store.reading() as db:
            return db.execute(queries.ORGANIZATION, {"org": org}).first() is not None

    def principals(self, org: str, name: str) -> List[Principal]:
        """One entry per key of the users and clients of this name (pushy-api 3.1)."""
        with self._store.reading() as db:
            rows = db.execute(queries.PRINCIPALS, {"org": org, "name": name}).all()
        return [Principal(name, kind, bool(member), key) for kind, member, key, _ in rows]

    def is_member(self, org: str, group: str, kind: str, name: str) -> Optional[bool]:
        """Whether a user or client is in a group or one below it; None: no such group (3.2)."""
        values = {"org": org, "group": group, "name": name}
        with self._store.reading() as db:
            found, member = db.execute(queries.IS_MEMBER[kind], values).one()
        return bool(member) if found else None

    # Organizations

    def create_org(self, name: str, full_name: str) -> None:
        """Make an organization with an empty group ``admins``."""
        check_organization(name)
        check_text("full name of an organization", full_name)
        with self._changing() as db:
            add(db, organizations, f"organization '{name}'", {"full_name": full_name}, name=name)
            add(db, org_groups, "group 'admins'", org=name, name="admins")
            self._note(db, "org.create", name, name)

    def delete_org(self, name: str, force: bool = False) -> None:
        """Remove an organization, its clients and groups; its jobs only with ``force``."""
        with self._changing() as db:
            if not force and exists(db, jobs, org=name):
                raise IdentityError(
                    f"organization '{name}' has jobs; they are lost with it: use --force"
                )
            remove(db, organizations, f"organization '{name}'", name=name)
            for table in (jobs, grants, session_keys, node_sightings):
                db.execute(delete(table).where(table.c.org == name))
            self._note(db, "org.delete", name, name, forced=force)

    def orgs(self) -> Dict[str, str]:
        """Full names by name, in alphabetical order."""
        with self._store.reading() as db:
            return pairs(db, select(organizations.c.name, organizations.c.full_name))

    def add_user_to_org(self, org: str, user: str) -> None:
        """Associate a user with an organization."""
        with self._changing() as db:
            need_org(db, org)
            need(db, users, f"user '{user}'", name=user)
            add(db, org_users, f"user '{user}' in organization '{org}'", org=org, name=user)
            self._note(db, "org.add-user", org, user)

    def remove_user_from_org(self, org: str, user: str) -> None:
        """Take a user out of an organization and all its groups."""
        with self._changing() as db:
            need_org(db, org)
            remove(db, org_users, f"user '{user}' in organization '{org}'", org=org, name=user)
            self._note(db, "org.remove-user", org, user)

    def org_users(self, org: str) -> List[str]:
        """The users of an organization."""
        return self._names(org_users, org)

    # Users and clients

    def create_user(self, name: str, public_key: str) -> None:
        """Make a user with one key; he belongs to no organization yet."""
        check_name("user", name)
        _check_key(public_key)
        with self._changing() as db:
            add(db, users, f"user '{name}'", name=name)
            row = {"owner": name, "key_name": FIRST_KEY, "public_key": public_key}
            db.execute(insert(user_keys), row)
            self._note(db, "user.create", None, name)

    def delete_user(self, name: str) -> None:
        """Remove a user everywhere."""
        with self._changing() as db:
            remove(db, users, f"user '{name}'", name=name)
            self._note(db, "user.delete", None, name)

    def users(self) -> List[str]:
        """All users, whether in an organization or not."""
        with self._store.reading() as db:
            return sorted(db.execute(select(users.c.name)).scalars())

    def user_orgs(self, user: str) -> List[str]:
        """The organizations that a user is in."""
        with self._store.reading() as db:
            need(db, users, f"user '{user}'", name=user)
            query = select(org_users.c.org).where(org_users.c.name == user)
            return sorted(db.execute(query).scalars())

    def create_client(self, org: str, name: str, public_key: str) -> None:
        """Make a client (a node, mostly) with one key."""
        check_name("client", name)
        _check_key(public_key)
        with self._changing() as db:
            need_org(db, org)
            add(db, clients, _client(org, name), org=org, name=name)
            row = {"org": org, "owner": name, "key_name": FIRST_KEY, "public_key": public_key}
            db.execute(insert(client_keys), row)
            self._note(db, "client.create", org, name)

    def delete_client(self, org: str, name: str) -> None:
        """Remove a client, and what lets the node of its name connect."""
        with self._changing() as db:
            need_org(db, org)
            remove(db, clients, _client(org, name), org=org, name=name)
            for table in (grants, session_keys, node_sightings):
                db.execute(delete(table).where(table.c.org == org, table.c.node == name))
            self._note(db, "client.delete", org, name)

    def clients(self, org: str) -> List[str]:
        """The clients of an organization."""
        return self._names(clients, org)

    # Keys

    def add_key(
        self, kind: str, org: Optional[str], name: str, key_name: str, public_key: str
    ) -> None:
        """Give a user (``org`` is None) or a client one more key."""
        check_name("key", key_name)
        _check_key(public_key)
        with self._changing() as db:
            table, owner, what = _owner(db, kind, org, name)
            what = f"key '{key_name}' of {what}"
            add(db, table, what, {"public_key": public_key}, key_name=key_name, **owner)
            self._note(db, f"{kind}.add-key", org, name, key=key_name)

    def remove_key(self, kind: str, org: Optional[str], name: str, key_name: str) -> None:
        """Take a key away; requests signed with it fail from now on."""
        with self._changing() as db:
            table, owner, what = _owner(db, kind, org, name)
            remove(db, table, f"key '{key_name}' of {what}", key_name=key_name, **owner)
            self._note(db, f"{kind}.remove-key", org, name, key=key_name)

    def keys(self, kind: str, org: Optional[str], name: str) -> Dict[str, str]:
        """The public keys of a user (``org`` is None) or client, by name of the key."""
        with self._store.reading() as db:
            table, owner, _ = _owner(db, kind, org, name)
            query = select(table.c.key_name, table.c.public_key).where(*equal(table, owner))
            return pairs(db, query)

    # Groups

    def create_group(self, org: str, name: str) -> None:
        """Make an empty group."""
        check_name("group", name)
        with self._changing() as db:
            need_org(db, org)
            add(db, org_groups, _group(org, name), org=org, name=name)
            self._note(db, "group.create", org, name)

    def delete_group(self, org: str, name: str) -> None:
        """Remove a group, also from the groups that it is in; its members stay."""
        with self._changing() as db:
            need_org(db, org)
            remove(db, org_groups, _group(org, name), org=org, name=name)
            self._note(db, "group.delete", org, name)

    def groups(self, org: str) -> List[str]:
        """The groups of an organization."""
        return self._names(org_groups, org)

    def group(self, org: str, name: str) -> Group:
        """The direct members of a group."""
        with self._store.reading() as db:
            need_org(db, org)
            need(db, org_groups, _group(org, name), org=org, name=name)
            members = {kind: _members(db, table, org, name) for kind, table in _MEMBERS.items()}
        return Group(*(tuple(members[kind]) for kind in ("user", "client", "group")))

    def add_to_group(self, org: str, group: str, kind: str, name: str) -> None:
        """Put a user, client or group of the organization into a group."""
        with self._changing() as db:
            table, what = _membership(db, org, group, kind, name)
            here = f"{kind} '{name}' in organization '{org}'"
            need(db, _ACTORS[kind], here, org=org, name=name)
            add(db, table, what, org=org, group_name=group, member=name)
            self._note(db, "group.add", org, group, kind=kind, member=name)

    def remove_from_group(self, org: str, group: str, kind: str, name: str) -> None:
        """Take a user, client or group out of a group."""
        with self._changing() as db:
            table, what = _membership(db, org, group, kind, name)
            remove(db, table, what, org=org, group_name=group, member=name)
            self._note(db, "group.remove", org, group, kind=kind, member=name)

    def _note(
        self, db: Connection, action: str, org: Optional[str], target: str, **details: object
    ) -> None:
        """Leave a row in the audit trail, in the transaction of the change."""
        if self._operator is not None:
            entry = audit.made(
                time.time(),
                uuid.uuid4().hex,
                action,
                org=org,
                actor=self._operator,
                actor_kind=audit.OPERATOR,
                address=audit.LOCAL,
                target=target,
                details=details,
            )
            db.execute(insert(audit_table), audit_row(entry))

    def _names(self, table: Table, org: str) -> List[str]:
        with self._store.reading() as db:
            need_org(db, org)
            return sorted(db.execute(select(table.c.name).where(table.c.org == org)).scalars())


def _client(org: str, name: str) -> str:
    return f"client '{name}' in organization '{org}'"


def _group(org: str, name: str) -> str:
    return f"group '{name}' in organization '{org}'"


def _check_key(public_key: str) -> None:
    try:
        load_public_key(public_key)
    except LocalError as error:
        raise IdentityError(f"the public key can't be used: {error}") from error


def _owner(
    db: Connection, kind: str, org: Optional[str], name: str
) -> Tuple[Table, Dict[str, str], str]:
    """The table with the keys of a user or client that exists, his columns in it, his title."""
    if kind == "user":
        need(db, users, f"user '{name}'", name=name)
        return user_keys, {"owner": name}, f"user '{name}'"
    if kind != "client" or org is None:
        raise IdentityError(f"keys belong to a user, or to a client of an organization, not {kind}")
    need_org(db, org)
    need(db, clients, _client(org, name), org=org, name=name)
    return client_keys, {"org": org, "owner": name}, _client(org, name)


def _members(db: Connection, table: Table, org: str, group: str) -> List[str]:
    query = select(table.c.member).where(table.c.org == org, table.c.group_name == group)
    return sorted(db.execute(query).scalars())


def _membership(db: Connection, org: str, group: str, kind: str, name: str) -> Tuple[Table, str]:
    """The table with members of a kind, and what to call this one; the group must exist."""
    if kind not in _MEMBERS:
        raise IdentityError(f"a member is a user, client or group, not {kind!r}")
    need_org(db, org)
    need(db, org_groups, _group(org, group), org=org, name=group)
    return _MEMBERS[kind], f"{kind} '{name}' in group '{group}' of organization '{org}'"

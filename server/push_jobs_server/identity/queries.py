"""What every request asks of the identity tables: one query per question."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, and_, bindparam, exists, literal, select, true, union_all

from push_jobs_server.store.tables import (
    client_keys,
    group_clients,
    group_groups,
    group_users,
    org_groups,
    org_users,
    organizations,
    user_keys,
)


def _principals() -> Any:
    """Takes ``org`` and ``name``; rows of kind, member and public_key, users first."""
    in_org = and_(org_users.c.name == user_keys.c.owner, org_users.c.org == bindparam("org"))
    of_users = (
        select(
            literal("user").label("kind"),
            org_users.c.name.is_not(None).label("member"),
            user_keys.c.public_key,
            user_keys.c.key_name,
        )
        .select_from(user_keys.outerjoin(org_users, in_org))
        .where(user_keys.c.owner == bindparam("name"))
    )
    of_clients = select(
        literal("client"), true(), client_keys.c.public_key, client_keys.c.key_name
    ).where(client_keys.c.org == bindparam("org"), client_keys.c.owner == bindparam("name"))
    both = union_all(of_users, of_clients).subquery()
    return select(both).order_by(both.c.kind.desc(), both.c.key_name)


def _is_member(members: Table) -> Any:
    """Takes ``org``, ``group`` and ``name``; one row: is there such a group, is it a member."""
    below = (
        select(org_groups.c.name)
        .where(org_groups.c.org == bindparam("org"), org_groups.c.name == bindparam("group"))
        .cte("below", recursive=True)
    )
    # UNION, not UNION ALL: a group that was seen already ends a cycle.
    below = below.union(
        select(group_groups.c.member)
        .join(below, group_groups.c.group_name == below.c.name)
        .where(group_groups.c.org == bindparam("org"))
    )
    member = exists().where(
        members.c.org == bindparam("org"),
        members.c.member == bindparam("name"),
        members.c.group_name.in_(select(below.c.name)),
    )
    return select(exists().where(below.c.name.is_not(None)), member)


PRINCIPALS = _principals()
IS_MEMBER = {"user": _is_member(group_users), "client": _is_member(group_clients)}
ORGANIZATION = select(organizations.c.name).where(organizations.c.name == bindparam("org"))

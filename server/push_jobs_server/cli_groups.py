"""``push-jobs-server group``: groups, which say who may start and see jobs."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

import click

from push_jobs_server.cli_support import (
    choose_org,
    examples,
    format_option,
    notice,
    open_identity,
    org_option,
    present,
)

Names = Tuple[str, ...]


def member_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name members to a command."""
    for kind in ("group", "client", "user"):
        option = click.option(
            f"--{kind}",
            f"{kind}s",
            multiple=True,
            metavar="NAME",
            help=f"A {kind}; repeatable.",
        )
        command = option(command)
    return command


def _members(users: Names, clients: Names, groups: Names) -> List[Tuple[str, str]]:
    named = [("user", users), ("client", clients), ("group", groups)]
    members = [(kind, name) for kind, names in named for name in names]
    if not members:
        raise click.UsageError("name members with --user, --client or --group")
    return members


@click.group("group", epilog=examples("group list", "group add admins --user bob"))
def group_group() -> None:
    """Manage groups of users and clients."""


@group_group.command(
    "create",
    epilog=examples("group create operators", "group create operators --org acme"),
)
@click.argument("name")
@org_option
@click.pass_context
def create_group(context: click.Context, name: str, org: Optional[str]) -> None:
    """Make the group NAME, without members."""
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        identity.create_group(org, name)
    notice(f"group {name} created in {org}")


@group_group.command("list", epilog=examples("group list", "group list --org acme --format json"))
@org_option
@format_option
@click.pass_context
def list_groups(context: click.Context, org: Optional[str], format_: str) -> None:
    """List the groups of an organization."""
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        names = identity.groups(org)
    document = [{"organization": org, "name": name} for name in names]
    present(format_, document, ("GROUP", "ORGANIZATION"), [(name, org) for name in names])


@group_group.command(
    "show",
    epilog=examples("group show admins", "group show admins --org acme --format json"),
)
@click.argument("name")
@org_option
@format_option
@click.pass_context
def show_group(context: click.Context, name: str, org: Optional[str], format_: str) -> None:
    """Show the direct members of the group NAME."""
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        group = identity.group(org, name)
    document = {
        "name": name,
        "organization": org,
        "users": group.users,
        "clients": group.clients,
        "groups": group.groups,
    }
    rows = [
        (kind, member)
        for kind, members in (
            ("user", group.users),
            ("client", group.clients),
            ("group", group.groups),
        )
        for member in members
    ]
    present(format_, document, ("KIND", "MEMBER"), rows)


@group_group.command(
    "delete",
    epilog=examples("group delete operators", "group delete operators --org acme"),
)
@click.argument("name")
@org_option
@click.pass_context
def delete_group(context: click.Context, name: str, org: Optional[str]) -> None:
    """Delete the group NAME; its members stay."""
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        identity.delete_group(org, name)
    notice(f"group {name} of {org} deleted")


@group_group.command(
    "add",
    epilog=examples("group add admins --user bob", "group add operators --client web1 --group web"),
)
@click.argument("group")
@member_options
@org_option
@click.pass_context
def add_members(
    context: click.Context,
    group: str,
    users: Names,
    clients: Names,
    groups: Names,
    org: Optional[str],
) -> None:
    """Put members into GROUP."""
    members = _members(users, clients, groups)
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        for kind, name in members:
            identity.add_to_group(org, group, kind, name)
            notice(f"{kind} {name} added to group {group} of {org}")


@group_group.command(
    "remove",
    epilog=examples("group remove admins --user bob", "group remove operators --client web1"),
)
@click.argument("group")
@member_options
@org_option
@click.pass_context
def remove_members(
    context: click.Context,
    group: str,
    users: Names,
    clients: Names,
    groups: Names,
    org: Optional[str],
) -> None:
    """Take members out of GROUP."""
    members = _members(users, clients, groups)
    with open_identity(context) as identity:
        org = choose_org(identity, org)
        for kind, name in members:
            identity.remove_from_group(org, group, kind, name)
            notice(f"{kind} {name} removed from group {group} of {org}")

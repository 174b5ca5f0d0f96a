"""``push-jobs-server group``: groups, which say who may start and see jobs."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

import click

from push_jobs_server.cli_support import examples, format_option, notice, present, with_org

if TYPE_CHECKING:
    from push_jobs_server.identity.local import LocalIdentity

Names = Tuple[str, ...]
Member = Tuple[str, str]
"""Kind and name."""


def member_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name members; it gets them as pairs of kind and name."""

    @wraps(command)
    def run(users: Names, clients: Names, groups: Names, **rest: Any) -> None:
        command(members=_members(users, clients, groups), **rest)

    decorated: Callable[..., Any] = run
    for kind in ("group", "client", "user"):
        option = click.option(
            f"--{kind}",
            f"{kind}s",
            multiple=True,
            metavar="NAME",
            help=f"A {kind}; repeatable.",
        )
        decorated = option(decorated)
    return decorated


def _members(users: Names, clients: Names, groups: Names) -> List[Member]:
    named = [("user", users), ("client", clients), ("group", groups)]
    members = [(kind, name) for kind, names in named for name in names]
    if not members:
        raise click.UsageError("name members with --user, --client or --group")
    return members


@click.group("group", epilog=examples("group list", "group add admins --user bob"))
def group_group() -> None:
    """Manage groups of users and clients."""


@group_group.command(
    "create", epilog=examples("group create operators", "group create operators --org acme")
)
@click.argument("name")
@with_org
def create_group(identity: LocalIdentity, org: str, name: str) -> None:
    """Make the group NAME, without members."""
    identity.create_group(org, name)
    notice(f"group {name} created in {org}")


@group_group.command("list", epilog=examples("group list", "group list --org acme --format json"))
@with_org
@format_option
def list_groups(identity: LocalIdentity, org: str, format_: str) -> None:
    """List the groups of an organization."""
    names = identity.groups(org)
    document = [{"organization": org, "name": name} for name in names]
    present(format_, document, ("GROUP", "ORGANIZATION"), [(name, org) for name in names])


@group_group.command(
    "show", epilog=examples("group show admins", "group show admins --org acme --format json")
)
@click.argument("name")
@with_org
@format_option
def show_group(identity: LocalIdentity, org: str, name: str, format_: str) -> None:
    """Show the direct members of the group NAME."""
    group = identity.group(org, name)
    members = {"user": group.users, "client": group.clients, "group": group.groups}
    document: Dict[str, Any] = {"name": name, "organization": org}
    document.update({f"{kind}s": names for kind, names in members.items()})
    rows = [(kind, member) for kind, names in members.items() for member in names]
    present(format_, document, ("KIND", "MEMBER"), rows)


@group_group.command(
    "delete", epilog=examples("group delete operators", "group delete operators --org acme")
)
@click.argument("name")
@with_org
def delete_group(identity: LocalIdentity, org: str, name: str) -> None:
    """Delete the group NAME; its members stay."""
    identity.delete_group(org, name)
    notice(f"group {name} of {org} deleted")


@group_group.command(
    "add",
    epilog=examples("group add admins --user bob", "group add operators --client web1 --group web"),
)
@click.argument("group")
@member_options
@with_org
def add_members(identity: LocalIdentity, org: str, group: str, members: List[Member]) -> None:
    """Put members into GROUP."""
    for kind, name in members:
        identity.add_to_group(org, group, kind, name)
        notice(f"{kind} {name} added to group {group} of {org}")


@group_group.command(
    "remove",
    epilog=examples("group remove admins --user bob", "group remove operators --client web1"),
)
@click.argument("group")
@member_options
@with_org
def remove_members(identity: LocalIdentity, org: str, group: str, members: List[Member]) -> None:
    """Take members out of GROUP."""
    for kind, name in members:
        identity.remove_from_group(org, group, kind, name)
        notice(f"{kind} {name} removed from group {group} of {org}")

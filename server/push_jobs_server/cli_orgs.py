"""``push-jobs-server org``: organizations and who belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import click

from push_jobs_server.cli_support import examples, format_option, notice, present, with_identity

if TYPE_CHECKING:
    from push_jobs_server.identity.local import LocalIdentity


@click.group("org", epilog=examples("org list", "org create acme --full-name 'Acme Ltd.'"))
def org_group() -> None:
    """Manage organizations."""


@org_group.command(
    "create", epilog=examples("org create acme", "org create acme --full-name 'Acme Ltd.'")
)
@click.argument("name")
@click.option("--full-name", metavar="TEXT", help="Name for people.  [default: NAME]")
@with_identity
def create_org(identity: LocalIdentity, name: str, full_name: Optional[str]) -> None:
    """Make the organization NAME, with an empty group 'admins'."""
    identity.create_org(name, full_name or name)
    notice(f"organization {name} created")


@org_group.command("list", epilog=examples("org list", "org list --format json"))
@format_option
@with_identity
def list_orgs(identity: LocalIdentity, format_: str) -> None:
    """List all organizations."""
    rows = list(identity.orgs().items())
    document = [{"name": name, "full_name": full_name} for name, full_name in rows]
    present(format_, document, ("ORGANIZATION", "FULL NAME"), rows)


@org_group.command("show", epilog=examples("org show acme", "org show acme --format json"))
@click.argument("name")
@format_option
@with_identity
def show_org(identity: LocalIdentity, name: str, format_: str) -> None:
    """Show how many users, clients and groups the organization NAME has."""
    shown = {
        "name": name,
        "users": len(identity.org_users(name)),
        "clients": len(identity.clients(name)),
        "groups": len(identity.groups(name)),
        "full_name": identity.orgs().get(name),
    }
    heads = ("ORGANIZATION", "USERS", "CLIENTS", "GROUPS", "FULL NAME")
    present(format_, shown, heads, [list(shown.values())])


@org_group.command("delete", epilog=examples("org delete acme", "org delete acme --force"))
@click.argument("name")
@click.option("--force", is_flag=True, help="Delete its jobs too.")
@with_identity
def delete_org(identity: LocalIdentity, name: str, force: bool) -> None:
    """Delete the organization NAME, its clients and groups. Its users stay."""
    identity.delete_org(name, force)
    notice(f"organization {name} deleted")


@org_group.command(
    "add-user", epilog=examples("org add-user acme bob", "org add-user staging alice")
)
@click.argument("name")
@click.argument("user")
@with_identity
def add_user(identity: LocalIdentity, name: str, user: str) -> None:
    """Let USER, who exists already, into the organization NAME."""
    identity.add_user_to_org(name, user)
    notice(f"user {user} added to organization {name}")


@org_group.command(
    "remove-user", epilog=examples("org remove-user acme bob", "org remove-user staging alice")
)
@click.argument("name")
@click.argument("user")
@with_identity
def remove_user(identity: LocalIdentity, name: str, user: str) -> None:
    """Take USER out of the organization NAME and out of its groups."""
    identity.remove_user_from_org(name, user)
    notice(f"user {user} removed from organization {name}")

"""``push-jobs-server user``: people who start and watch jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional, Tuple

import click

from push_jobs_server.cli_keys import key_options, public_key_for
from push_jobs_server.cli_support import (
    choose_org,
    examples,
    format_option,
    notice,
    present,
    with_identity,
)

if TYPE_CHECKING:
    from push_jobs_server.identity.local import LocalIdentity


@click.group("user", epilog=examples("user list", "user create bob --org acme --key-out bob.pem"))
def user_group() -> None:
    """Manage users and their public keys."""


@user_group.command(
    "create",
    epilog=examples(
        "user create bob --org acme --key-out bob.pem",
        "user create carol --org acme --org staging --admin --public-key carol.pub",
    ),
)
@click.argument("name")
@click.option(
    "--org",
    "orgs",
    multiple=True,
    metavar="ORG",
    help="Organization; may be repeated, or left out when there is exactly one.",
)
@click.option("--admin", is_flag=True, help="Make the user an administrator of them.")
@key_options
@with_identity
def create_user(
    identity: LocalIdentity,
    name: str,
    orgs: Tuple[str, ...],
    admin: bool,
    public_key: Optional[Path],
    key_out: Optional[Path],
) -> None:
    """Make the user NAME and let him into organizations."""
    chosen = [choose_org(identity, org) for org in orgs or (None,)]
    with public_key_for(name, public_key, key_out) as key:
        identity.create_user(name, key)
        try:
            for org in dict.fromkeys(chosen):
                identity.add_user_to_org(org, name)
                if admin:
                    identity.add_to_group(org, "admins", "user", name)
        except BaseException:
            identity.delete_user(name)
            raise
        notice(f"user {name} created in {', '.join(dict.fromkeys(chosen))}")


@user_group.command("list", epilog=examples("user list", "user list --org acme --format json"))
@click.option("--org", metavar="ORG", help="Only the users of this organization.")
@format_option
@with_identity
def list_users(identity: LocalIdentity, org: Optional[str], format_: str) -> None:
    """List the users."""
    names = identity.users() if org is None else identity.org_users(org)
    present(format_, [{"name": name} for name in names], ("USER",), [[name] for name in names])


@user_group.command("show", epilog=examples("user show bob", "user show bob --format json"))
@click.argument("name")
@format_option
@with_identity
def show_user(identity: LocalIdentity, name: str, format_: str) -> None:
    """Show the organizations and public keys of the user NAME."""
    orgs, keys = identity.user_orgs(name), identity.keys("user", None, name)
    document = {"name": name, "organizations": orgs, "keys": keys}
    present(format_, document, ("USER", "ORGANIZATIONS", "KEYS"), [(name, orgs, list(keys))])


@user_group.command(
    "delete", epilog=examples("user delete bob", "--data-dir /srv/pj user delete bob")
)
@click.argument("name")
@with_identity
def delete_user(identity: LocalIdentity, name: str) -> None:
    """Delete the user NAME everywhere."""
    identity.delete_user(name)
    notice(f"user {name} deleted")


@user_group.command(
    "add-key",
    epilog=examples(
        "user add-key bob laptop --public-key laptop.pub",
        "user add-key bob ci --key-out ci.pem",
    ),
)
@click.argument("name")
@click.argument("key_name", metavar="KEY")
@key_options
@with_identity
def add_key(
    identity: LocalIdentity,
    name: str,
    key_name: str,
    public_key: Optional[Path],
    key_out: Optional[Path],
) -> None:
    """Give the user NAME one more key, known as KEY."""
    with public_key_for(name, public_key, key_out) as key:
        identity.add_key("user", None, name, key_name, key)
        notice(f"key {key_name} of user {name} added")


@user_group.command(
    "remove-key", epilog=examples("user remove-key bob laptop", "user remove-key bob default")
)
@click.argument("name")
@click.argument("key_name", metavar="KEY")
@with_identity
def remove_key(identity: LocalIdentity, name: str, key_name: str) -> None:
    """Take the key KEY away from the user NAME; it is refused from now on."""
    identity.remove_key("user", None, name, key_name)
    notice(f"key {key_name} of user {name} removed")

"""``push-jobs-server client``: the clients of organizations, which are nodes for the most part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from push_jobs_server.cli_keys import key_options, public_key_for
from push_jobs_server.cli_support import examples, format_option, notice, present, with_org

if TYPE_CHECKING:
    from push_jobs_server.identity.local import LocalIdentity


@click.group("client", epilog=examples("client list", "client create web1 --public-key web1.pub"))
def client_group() -> None:
    """Manage clients (nodes) and their public keys."""


@client_group.command(
    "create",
    epilog=examples(
        "client create web1 --org acme --public-key web1.pub",
        "client create web1 --key-out client.pem",
    ),
)
@click.argument("node")
@with_org
@key_options
def create_client(
    identity: LocalIdentity,
    org: str,
    node: str,
    public_key: Optional[Path],
    key_out: Optional[Path],
) -> None:
    """Make a client for the node NODE, so that its agent may connect."""
    with public_key_for(node, public_key, key_out) as key:
        identity.create_client(org, node, key)
        notice(f"client {node} created in {org}")


@client_group.command(
    "list", epilog=examples("client list", "client list --org acme --format json")
)
@with_org
@format_option
def list_clients(identity: LocalIdentity, org: str, format_: str) -> None:
    """List the clients of an organization."""
    names = identity.clients(org)
    document = [{"organization": org, "name": name} for name in names]
    present(format_, document, ("CLIENT", "ORGANIZATION"), [(name, org) for name in names])


@client_group.command(
    "show", epilog=examples("client show web1", "client show web1 --org acme --format json")
)
@click.argument("node")
@with_org
@format_option
def show_client(identity: LocalIdentity, org: str, node: str, format_: str) -> None:
    """Show the public keys of the client NODE."""
    keys = identity.keys("client", org, node)
    document = {"name": node, "organization": org, "keys": keys}
    present(format_, document, ("CLIENT", "ORGANIZATION", "KEYS"), [(node, org, list(keys))])


@client_group.command(
    "delete", epilog=examples("client delete web1", "client delete web1 --org acme")
)
@click.argument("node")
@with_org
def delete_client(identity: LocalIdentity, org: str, node: str) -> None:
    """Delete the client NODE; its agent may not connect any more."""
    identity.delete_client(org, node)
    notice(f"client {node} of {org} deleted")


@client_group.command(
    "add-key",
    epilog=examples(
        "client add-key web1 second --public-key new.pub",
        "client add-key web1 second --org acme --key-out new.pem",
    ),
)
@click.argument("node")
@click.argument("key_name", metavar="KEY")
@with_org
@key_options
def add_key(
    identity: LocalIdentity,
    org: str,
    node: str,
    key_name: str,
    public_key: Optional[Path],
    key_out: Optional[Path],
) -> None:
    """Give the client NODE one more key, known as KEY."""
    with public_key_for(node, public_key, key_out) as key:
        identity.add_key("client", org, node, key_name, key)
        notice(f"key {key_name} of client {node} of {org} added")


@client_group.command(
    "remove-key",
    epilog=examples("client remove-key web1 default", "client remove-key web1 second --org acme"),
)
@click.argument("node")
@click.argument("key_name", metavar="KEY")
@with_org
def remove_key(identity: LocalIdentity, org: str, node: str, key_name: str) -> None:
    """Take the key KEY away from the client NODE; it is refused from now on."""
    identity.remove_key("client", org, node, key_name)
    notice(f"key {key_name} of client {node} of {org} removed")

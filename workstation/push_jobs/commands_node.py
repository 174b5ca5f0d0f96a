"""``push-jobs node``: what the server knows about nodes."""

from __future__ import annotations

import click

from push_jobs import documents, tables
from push_jobs.options import connect, examples, format_option
from push_jobs.printing import present


@click.group("node", epilog=examples("push-jobs node list", "push-jobs node show web1"))
def node_group() -> None:
    """Look at nodes."""


@node_group.command(
    "list", epilog=examples("push-jobs node list", "push-jobs node list --format jsonl")
)
@format_option
@click.pass_context
def list_nodes(context: click.Context, format_: str) -> None:
    """List the nodes that are connected now."""
    nodes = connect(context).nodes()
    present(
        format_,
        [documents.node(node) for node in nodes],
        lambda: tables.print_nodes(nodes),
    )


@node_group.command(
    "show",
    epilog=examples("push-jobs node show web1", "push-jobs node show web1 --format json"),
)
@click.argument("name")
@format_option
@click.pass_context
def show_node(context: click.Context, name: str, format_: str) -> None:
    """Show whether the node NAME is online and takes jobs. One that was never seen is offline."""
    node = connect(context).node(name)
    present(format_, documents.node(node), lambda: tables.print_node(node))

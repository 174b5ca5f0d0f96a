"""``push-jobs node``: what the server knows about nodes."""

from __future__ import annotations

import click

from push_jobs import documents, node_tables, tables
from push_jobs.models import NodeState
from push_jobs.node_models import NodeDetail
from push_jobs.options import connect, examples, format_option
from push_jobs.printing import notice, present


@click.group("node", epilog=examples("push-jobs node list", "push-jobs node show web1"))
def node_group() -> None:
    """Look at nodes."""


@node_group.command(
    "list", epilog=examples("push-jobs node list", "push-jobs node list --all --format jsonl")
)
@click.option("--all", "all_", is_flag=True, help="Also those that are down or were never seen.")
@format_option
@click.pass_context
def list_nodes(context: click.Context, all_: bool, format_: str) -> None:
    """List the nodes that are connected now."""
    if all_:
        _list_all(context, format_)
        return
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
    """Show whether the node NAME is up, since when, why not, and what can be run there."""
    node = connect(context).node_detail(name)
    present(format_, documents.node_detail(node), lambda: _print(node))


def _list_all(context: click.Context, format_: str) -> None:
    nodes = connect(context).all_nodes()
    if any(node.brief for node in nodes):
        notice("this server tells only of the nodes that are connected now")
    listed = [documents.node_detail(node) for node in nodes]
    present(format_, listed, lambda: node_tables.print_all(nodes))


def _print(node: NodeDetail) -> None:
    if node.brief:
        tables.print_node(NodeState(node.name, node.online, node.available))
    else:
        node_tables.print_detail(node)

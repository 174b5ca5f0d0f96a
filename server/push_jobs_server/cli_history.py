"""``push-jobs-server purge`` and ``audit``: removing old jobs, and reading who did what.

Both work on the database, whether the server runs or not.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

import click

from push_jobs_server import settings
from push_jobs_server.cli_support import (
    choose_org,
    data_dir_of,
    examples,
    format_option,
    notice,
    present,
)
from push_jobs_server.cli_times import Age, Moment, show_age, show_moment, since_epoch
from push_jobs_server.operators import operator_name
from push_jobs_wire.settings import Values

if TYPE_CHECKING:
    from push_jobs_server.store import Store
    from push_jobs_server.store.retention import Keep, Removed


@click.command(
    "purge",
    epilog=examples("purge --older-than 30d --dry-run", "purge --keep 1000 --org acme"),
)
@click.option(
    "--older-than",
    type=Age(),
    metavar="AGE",
    help="Remove jobs that ended longer ago, such as 12h, 30d or 8w.",
)
@click.option(
    "--keep",
    "most",
    type=click.IntRange(0, 10**9),
    metavar="N",
    help="Remove all but the newest N jobs of an organization.",
)
@click.option("--org", metavar="ORG", help="Only of this organization.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@format_option
@click.pass_context
def purge_command(
    context: click.Context,
    older_than: Optional[float],
    most: Optional[int],
    org: Optional[str],
    dry_run: bool,
    format_: str,
) -> None:
    """Remove old jobs, with their output, variables and files.

    With both limits a job goes as soon as it is beyond one of them; with none the limits are those
    of the settings. Jobs that have not ended stay, and so do jobs that ended so short a time ago
    that late results may still reach them (history.late_window). The server may run meanwhile.
    """
    values = settings.load(data_dir_of(context))
    keep = _keep(values, older_than, most)
    with _open_store(values) as store:
        removed, held = _purge(store, keep, org, dry_run)
    _tell(format_, removed, dry_run)
    if held:
        notice(
            f"{held} more stay: they ended less than {show_age(keep.window)} ago, and late results "
            "or repeated requests may still be about them"
        )


def _keep(values: Values, older_than: Optional[float], most: Optional[int]) -> "Keep":
    from push_jobs_server.housekeeping import keep_of

    keep = keep_of(values)
    if older_than is None and most is None:
        return keep
    return replace(keep, seconds=older_than, jobs=most)


@contextmanager
def _open_store(values: Values) -> "Iterator[Store]":
    from push_jobs_server.store import Store

    store = Store(values["database.url"])
    try:
        yield store
    finally:
        store.close()


def _purge(
    store: "Store", keep: "Keep", org: Optional[str], dry_run: bool
) -> "tuple[List[Removed], int]":
    """What was removed, or would be, by organization; and how many had to stay."""
    from push_jobs_server.store import retention

    now = time.time()
    orgs = retention.orgs_with_jobs(store) if org is None else [org]
    held = sum(retention.held_back(store, each, keep, now) for each in orgs)
    removed = []
    for each in orgs:
        going = retention.would_go(store, each, keep, now)
        if going is not None and not dry_run:
            _record(store, keep, going, now)
            going = retention.remove_jobs(store, each, keep, now, _wait)
        if going is not None:
            removed.append(going)
    return removed, held


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _record(store: "Store", keep: "Keep", going: "Removed", now: float) -> None:
    """The audit row comes first: it is there, too, when the rest is interrupted."""
    from push_jobs_server import audit
    from push_jobs_server.housekeeping import purge_details
    from push_jobs_server.records import Audited

    limits: Dict[str, Any] = {"older_than": keep.seconds, "keep": keep.jobs}
    entry = audit.made(
        now,
        uuid.uuid4().hex,
        "job.purge",
        org=going.org,
        actor=operator_name(),
        actor_kind=audit.OPERATOR,
        address=audit.LOCAL,
        details={**purge_details(going), **limits},
    )
    store.write([Audited(entry)])


def _tell(format_: str, removed: "List[Removed]", dry_run: bool) -> None:
    document = [
        {
            "organization": each.org,
            "jobs": each.jobs,
            "created_from": show_moment(each.oldest),
            "created_to": show_moment(each.newest),
            "removed": not dry_run,
        }
        for each in removed
    ]
    if not removed and format_ == "table":
        notice("there is nothing to remove")
        return
    heads = ("ORGANIZATION", "WOULD GO" if dry_run else "REMOVED", "CREATED FROM", "TO")
    present(format_, document, heads, [list(row.values())[:4] for row in document])


@click.group("audit", epilog=examples("audit export", "audit export --since 7d --org acme"))
def audit_group() -> None:
    """Read who asked for what, where, and what became of it."""


@audit_group.command(
    "export",
    epilog=examples(
        "audit export --since 2024-05-01 --until 2024-06-01",
        "audit export --since 24h --org acme",
    ),
)
@click.option("--since", type=Moment(), metavar="TIME", help="Not before: a date, or 7d (ago).")
@click.option("--until", type=Moment(), metavar="TIME", help="Before: a date, or 1h (ago).")
@click.option("--org", metavar="ORG", help="Only of this organization.  [default: all]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl"]),
    default="jsonl",
    show_default=True,
    help="How to print: one JSON object a line.",
)
@click.pass_context
def export_command(
    context: click.Context, since: Any, until: Any, org: Optional[str], format_: str
) -> None:
    """Print the audit trail, oldest first.

    Values of variables and contents of files are never in it.
    """
    from push_jobs_server.audit import json_line
    from push_jobs_server.store.audit import entries

    now = time.time()
    values = settings.load(data_dir_of(context))
    with _open_store(values) as store:
        if org is not None and values["identity"] == "local":
            _check_org(store, org)
        for entry in entries(store, org, since_epoch(since, now), since_epoch(until, now)):
            click.echo(json_line(entry))


def _check_org(store: "Store", org: str) -> None:
    """Raise CommandError for a name that no organization has or had."""
    from push_jobs_server.identity.local import LocalIdentity
    from push_jobs_server.store.audit import entries

    # Of an organization that was deleted, the trail is what is left.
    if next(entries(store, org), None) is None:
        choose_org(LocalIdentity(store), org)

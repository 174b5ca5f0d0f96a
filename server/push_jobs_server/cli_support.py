"""What the commands of ``push-jobs-server`` share: exit codes, output, and access to identities."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence

import click

from push_jobs_server import settings
from push_jobs_server.operators import operator_name
from push_jobs_wire.errors import LocalError

if TYPE_CHECKING:
    from push_jobs_server.identity.local import LocalIdentity

ERROR = 1
UNREACHABLE = 8
INTERRUPTED = 130

DEFAULT_DATA_DIR = Path("/var/lib/push-jobs-server")


class CommandError(LocalError):
    """Raised when a command cannot do what it was asked.

    Args:
        code: the exit code of the process.
    """

    def __init__(self, message: str, code: int = ERROR) -> None:
        super().__init__(message)
        self.code = code


format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print: for people, or as one JSON value.",
)


def examples(*lines: str) -> str:
    """Return the end of a help text; click keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  $ push-jobs-server {line}" for line in lines)


def notice(text: str) -> None:
    """Tell people something on standard error, so that it stays apart from results."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """Return the text with everything escaped that could do harm to a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text
    )


def present(
    format_: str, document: Any, heads: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Print the document as JSON, or the rows as a table."""
    if format_ == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in table(heads, rows):
        click.echo(line)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> List[str]:
    """Return the lines of a table."""
    cells = [list(heads), *([printable(_cell(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    padded = ((cell.ljust(width) for cell, width in zip(line, widths)) for line in cells)
    return ["  ".join(line).rstrip() for line in padded]


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)


def data_dir_of(context: click.Context) -> Path:
    """Return the data directory that the command line chose."""
    found = context.find_root().obj
    assert isinstance(found, Path)
    return found


@contextmanager
def open_identity(context: click.Context) -> Iterator["LocalIdentity"]:
    """Give access to the identities in the database of the chosen data directory.

    Raises CommandError when the server does not use them: changes would be for nothing.
    """
    # Here, because --help and show-config need no database library.
    from push_jobs_server.identity.local import LocalIdentity
    from push_jobs_server.store import Store

    values = settings.load(data_dir_of(context))
    if values["identity"] != "local":
        raise CommandError(
            "this command is for local identities only, and the setting identity is "
            f"{values['identity']}: organizations, users, clients, keys and groups are managed at "
            "the Chef server, for example with knife"
        )
    store = Store(values["database.url"])
    try:
        yield LocalIdentity(store, operator_name())
    finally:
        store.close()


def with_identity(command: Callable[..., None]) -> Callable[..., None]:
    """Hand a command the identities, before its own arguments."""

    @click.pass_context
    @wraps(command)
    def run(context: click.Context, **given: Any) -> None:
        with open_identity(context) as identity:
            command(identity, **given)

    return run


def with_org(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option --org; hand it the identities and the chosen organization."""

    @click.option(
        "--org",
        metavar="ORG",
        help="Organization; may be left out when there is exactly one.",
    )
    @with_identity
    @wraps(command)
    def run(identity: "LocalIdentity", org: Optional[str], **given: Any) -> None:
        command(identity, choose_org(identity, org), **given)

    return run


def choose_org(identity: "LocalIdentity", org: Optional[str]) -> str:
    """Return the organization that was named, or the only one there is."""
    known = list(identity.orgs())
    if not known:
        raise CommandError(
            "there is no organization yet; make one with push-jobs-server org create"
        )
    if org is not None:
        if org not in known:
            raise CommandError(f"there is no organization {org}; there are: {_cell(known)}")
        return org
    if len(known) != 1:
        raise CommandError(f"which organization? Name it with --org; there are: {_cell(known)}")
    return known[0]

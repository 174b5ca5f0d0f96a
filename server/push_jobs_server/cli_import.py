"""``push-jobs-server import-config``: takes over the settings of an old push jobs server."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click
import yaml

from push_jobs_server.cli_support import CommandError, examples, format_option, notice, table

if TYPE_CHECKING:
    from push_jobs_server.import_config import Imported

_HEADS = ("LINE", "RESULT", "OLD SETTING", "NEW SETTING", "REASON")
_OLD_FILE = "/etc/opscode-push-jobs-server/opscode-push-jobs-server.rb"


@click.command(
    "import-config",
    epilog=examples(f"import-config {_OLD_FILE}", "import-config old.rb --output settings.yml"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the settings to this file; by default they are printed.",
)
@click.option("--force", is_flag=True, help="Replace the file given with --output.")
@format_option
def import_config_command(file: Path, output: Optional[Path], force: bool, format_: str) -> None:
    """Translate the settings file of an old push jobs server.

    FILE is Ruby and is never run: its plain lines are read. The settings are printed as lines for
    our settings.yml, the report of every line goes to standard error. With --format json both are
    one JSON value.
    """
    from push_jobs_server.import_config import import_text  # the other commands need none of it

    imported = import_text(_read(file), str(file))
    if not imported.lines:
        raise CommandError(
            f"{file} has no settings; expected lines such as "
            "opscode_pushy_server['heartbeat_interval'] = 10000"
        )
    text = _yaml(imported, file)
    if output is not None:
        _write(output, text, file, force)
    if format_ == "json":
        lines = [asdict(line) for line in imported.lines]
        click.echo(json.dumps({"settings": imported.settings, "lines": lines}, indent=2))
        return
    if output is None:
        click.echo(text, nl=False)
    _report(imported)


def _report(imported: "Imported") -> None:
    rows = [(line.number, line.result, line.old, line.new, line.reason) for line in imported.lines]
    for text in table(_HEADS, rows):
        notice(text)
    unread = sum(line.result == "not read" for line in imported.lines)
    if unread:
        notice(f"lines that were not read: {unread}; look whether they matter")


def _yaml(imported: "Imported", file: Path) -> str:
    if not imported.settings:
        return f"# Nothing in {file.name} differs from what this server does anyway.\n"
    return str(yaml.safe_dump(dict(imported.settings), sort_keys=False, allow_unicode=True))


def _read(file: Path) -> str:
    from push_jobs_server.private_files import read

    try:
        return read(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{file}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 first"
        ) from None


def _write(output: Path, text: str, file: Path, force: bool) -> None:
    from push_jobs_server.private_files import write_new, write_over

    if not output.exists():
        write_new(output, text.encode("utf-8"))
    elif output.samefile(file):
        raise CommandError(f"{output} is the old file itself; choose another name")
    elif not force:
        raise CommandError(f"{output} exists already; --force replaces it")
    else:
        write_over(output, text.encode("utf-8"))

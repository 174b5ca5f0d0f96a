"""Writes the pages of docs/ that are made from the code: settings, help texts, proofs by tests.

The pages are never written by hand, so they cannot say anything that the programs do not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import click
import compatibility
import cookbook_attributes

from push_jobs import cli as workstation
from push_jobs_agent.config import TABLE as AGENT_TABLE
from push_jobs_agent.reload import NEEDS_RESTART, WITH_NEW_RUNNER
from push_jobs_server import cli as server
from push_jobs_server import old_settings
from push_jobs_server.settings import TABLE as SERVER_TABLE

DOCS = Path(__file__).resolve().parents[2] / "docs"

NOTE = "<!-- Made by scripts/docs from the code; change it there. -->\n"

WIDTH = 80


def pages() -> Dict[str, str]:
    """The generated pages by file name."""
    return {
        "settings-server.md": _settings(
            "Settings of the server",
            "They are in `settings.yml` in the server's data directory, which `push-jobs-server "
            "init` writes with an explanation of each. A name with a dot is a section and a name "
            "in it: `http.port` is `port` below `http:`. `push-jobs-server check-config` finds "
            "mistakes, `push-jobs-server show-config` tells what is in effect.",
            SERVER_TABLE.reference(),
        ),
        "settings-agent.md": _settings(
            "Settings of the agent",
            "They are in a YAML file (`pushy-client --config FILE`); options of the command line "
            "come before the file. Relative paths belong to the folder of the file. A file of "
            "schob, the node client of goiardi's Shovey (TOML), is taken as it is. "
            "`pushy-client --check` finds mistakes in the settings and in the whitelist.\n\n"
            "On the signal HUP the agent reads both again, without disturbing a running job, and "
            "opens its log file again. A file with any mistake changes nothing, and its mistakes "
            f"are in the log. {_names(WITH_NEW_RUNNER)} are in effect as soon as no job is held: "
            f"the runner is started again for them. {_names(NEEDS_RESTART)} need a restart of the "
            "agent, which the log says too. A runner that a service manager started "
            "(`start_runner: false`, `push-jobs-runner`) is asked to end then, and reads the "
            "settings by itself when it is started again.",
            AGENT_TABLE.reference(),
        ),
        "old-settings.md": _settings(
            "Settings of the old server, and their places here",
            "The old push jobs server was set up in "
            "`/etc/opscode-push-jobs-server/opscode-push-jobs-server.rb`. "
            "`push-jobs-server import-config FILE` reads the plain lines of that file, never runs "
            "it, prints what to put into our `settings.yml`, and says of each line what became of "
            "it. [Settings of the server](settings-server.md) has all of ours; "
            "[Beside the Chef server](beside-chef-server.md) shows how to put this server where "
            "the old one was.",
            old_settings.reference(),
        ),
        "commands.md": _commands(),
        "cookbook-attributes.md": _settings(
            "Attributes of the cookbook",
            "All of them are below `node['push_jobs']`; a name with a dot is a level and a name in "
            "it. The names are those of the old cookbook, so roles and environments for it keep "
            "working. Mistakes end the converge before anything is changed, all in one message. "
            "[Getting started with Chef](getting-started-with-chef.md) shows how to use them.",
            cookbook_attributes.reference()
            + "\n\nThe converge goes on with them and warns. `init_style` with `runit`, `upstart` "
            "or `container` is such an attribute, too.",
        ),
        "compatibility.md": _compatibility(),
    }


def stale() -> List[str]:
    """The names of the pages that are not as the code has them."""
    return [name for name, text in pages().items() if _gist(_read(DOCS / name)) != _gist(text)]


def write() -> None:
    """Write every page."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _gist(text: str) -> str:
    """A page without that in which versions of Python and Click differ: how lines are broken, and
    `-c PATH, --config PATH` for `-c, --config PATH`."""
    return re.sub(r"\s+", "", re.sub(r"(-\w) [A-Z]+, --", r"\1, --", text))


def _names(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _settings(title: str, text: str, table: str) -> str:
    return f"{NOTE}\n# {title}\n\n{text}\n\n{table.strip()}\n"


def _compatibility() -> str:
    intro = (
        "Existing Pushy agents, servers and tools go on working with ours. These are the points "
        "that are easy to miss, each with the tests that prove it. Rows are in "
        "`docs/compatibility.yml`; tests name them with the marker `proves`."
    )
    tables = compatibility.tables(*compatibility.read())
    return f"{NOTE}\n# Compatibility, and what proves it\n\n{intro}\n\n{tables}"


def _commands() -> str:
    sections = [
        *_of_click(workstation.root, "push-jobs"),
        *_of_click(server.root, "push-jobs-server"),
        ("pushy-client", _of_agent("push_jobs_agent")),
        ("push-jobs-runner", _of_agent("push_jobs_agent.runner_start")),
    ]
    parts = [f"## {name}\n\n```\n{text.strip()}\n```\n" for name, text in sections]
    intro = "What each program says about itself with `--help`.\n"
    return "\n".join([NOTE, "# Commands\n", intro, *parts])


def _of_click(
    command: click.Command, name: str, parent: Optional[click.Context] = None
) -> Iterator[Tuple[str, str]]:
    """A command and all commands below it, each with its help text."""
    context = click.Context(
        command,
        parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context.command_path, click.unstyle(command.get_help(context))
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _of_click(command.commands[below], below, context)


def _of_agent(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env={**os.environ, "COLUMNS": str(WIDTH)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


def main() -> int:
    """Write the pages, or with --check name those that are stale."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(f"unknown argument: {sys.argv[1]}", file=sys.stderr)
        return 2
    if not sys.argv[1:]:
        DOCS.mkdir(exist_ok=True)
        write()
        return 0
    names = stale()
    for name in names:
        print(f"docs/{name} is stale; run scripts/docs", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())

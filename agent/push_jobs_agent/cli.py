"""The command line of the agent: `pushy-client`, `push-jobs-client` and `ctl-pushy-client`.

Reads options and settings, checks them, and hands over to the service. Source: operator-surfaces
2.1, 9.2. Everything heavier than that is imported when it is needed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from dataclasses import replace
from types import FrameType
from typing import Any, Dict, List, NoReturn, Optional, Sequence

from push_jobs_agent import config as settings
from push_jobs_agent import exit_codes, logs, schob_file
from push_jobs_agent.command_line import Parser, tell
from push_jobs_agent.config import Config
from push_jobs_agent.serf_settings import DEFAULT_ADDRESS
from push_jobs_agent.version import VERSION
from push_jobs_wire.errors import PushJobsError
from push_jobs_wire.settings import SettingsError

PROGRAM = "pushy-client"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the agent; returns its exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED[signal.SIGINT]


def _main(argv: Optional[Sequence[str]]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parser().parse_args(_dashed(sys.argv[1:] if argv is None else argv))
    try:
        config = _load(options)
        return _check(config) if options.check else _serve(config, options)
    except SettingsError as error:
        return tell(error)
    except PushJobsError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return exit_codes.UNEXPECTED
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error}; please report this"
        print(f"{PROGRAM}: {text} (log level debug shows where)", file=sys.stderr)
        logs.log("debug", text, {"where": traceback.format_exc()})
        return exit_codes.UNEXPECTED


def _interrupt(number: int, _: Optional[FrameType]) -> NoReturn:
    sys.exit(exit_codes.INTERRUPTED[number])


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Runs on a node: takes jobs from a push jobs server and runs what its own "
        "whitelist allows. Stays in the foreground. Long options may be written with - or _.",
    )
    add = parser.add_argument
    add("-c", "--config", metavar="PATH", help="settings file (default: first of %s)" % _searched())
    add("-l", "--log-level", metavar="LEVEL", help="debug, info, warn, error or fatal")
    log_file = "log file (default: standard output)"
    add("-L", "--logfile", "--log-file", metavar="PATH", help=log_file)
    name = "name of this node (default: full host name)"
    add("-N", "-n", "--node-name", metavar="NAME", help=name)
    add("-S", "--server", metavar="URL", help="server address with /organizations/ORG")
    add("-k", "--client-key", "--key-file", metavar="PATH", help="private key of this node")
    add("-d", "--file-dir", metavar="DIR", help="where files that come with jobs are stored")
    add("-M", "--max-body-size", metavar="BYTES", help="largest message the agent sends")
    add("--allow-unencrypted", action="store_true", default=None, help="accept a plain server")
    add("-w", "--whitelist", metavar="PATH", help="commands that jobs may run here")
    add("--check", action="store_true", help="check settings and whitelist, start nothing")
    version = f"{PROGRAM} {VERSION}"
    add("-v", "--version", action="version", version=version, help="show the version and exit")
    _add_serf(parser)
    return parser


def _add_serf(parser: Parser) -> None:
    """The options of schob, the node client of Shovey, as far as they mean something here."""
    group = parser.add_argument_group("jobs over Serf, from a goiardi or a push jobs server")
    add = group.add_argument
    add("-e", "--endpoint", metavar="URL", help="root of the server (setting shovey_url)")
    add("-p", "--sign-pub-key", metavar="PATH", help="key that commands are checked with")
    address = f"RPC of the Serf agent (default: {DEFAULT_ADDRESS})"
    add("--serf-addr", metavar="HOST:PORT", help=address)
    slew = "how old a command may be, such as 15m (default: 15m)"
    add("-m", "--time-slew", metavar="TIME", help=slew)
    verbose = "log more: -V error, -VV warn, -VVV info, -VVVV debug; --log-level wins"
    add("-V", "--verbose", action="count", default=0, help=verbose)
    ignored = "taken from schob, ignored"
    add("-s", "--syslog", action="store_true", default=None, help=ignored)
    add("-t", "--run-timeout", metavar="MINUTES", help=ignored)
    add("-q", "--queue-save-file", metavar="PATH", help=ignored)


def _searched() -> str:
    names = [name + suffix for name in settings.FILE_NAMES for suffix in settings.SUFFIXES]
    return f"{', '.join(names)} in {settings.CONFIG_DIR}"


def _dashed(argv: Sequence[str]) -> List[str]:
    """Old scripts write long options with underscores."""
    return [_dashed_option(word) if word.startswith("--") else word for word in argv]


def _dashed_option(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _load(options: argparse.Namespace) -> Config:
    """The settings, with a note about each option that means nothing here."""
    config = settings.load(options.config, _given(options))
    names = ("syslog", "run-timeout", "queue-save-file")
    given = [name for name in names if getattr(options, name.replace("-", "_")) is not None]
    notes = [f"option --{name} is ignored: {schob_file.WITHOUT_MEANING[name]}" for name in given]
    return replace(config, notes=(*config.notes, *notes))


def _level(options: argparse.Namespace) -> Optional[str]:
    levels = schob_file.VERBOSE[: options.verbose]
    return options.log_level or (levels[-1] if levels else None)


def _given(options: argparse.Namespace) -> Dict[str, Any]:
    size, slew = options.max_body_size, options.time_slew
    return {
        "log_level": _level(options),
        "log_location": options.logfile,
        "node_name": options.node_name,
        "chef_server_url": options.server,
        "client_key": options.client_key,
        "file_dir": options.file_dir,
        "max_body_size": int(size) if size is not None and size.isdecimal() else size,
        "allow_unencrypted": options.allow_unencrypted,
        "whitelist": options.whitelist,
        "shovey_url": options.endpoint,
        "sign_pub_key": options.sign_pub_key,
        "serf_addr": options.serf_addr,
        "time_slew": slew if slew is None else schob_file.duration(slew),
    }


def _check(config: Config) -> int:
    """Print everything that is wrong with settings, files and whitelist."""
    from push_jobs_agent.runner import whitelist
    from push_jobs_agent.runner.errors import WhitelistError

    _print_notes(config)
    problems = settings.file_problems(config)
    try:
        names = len(whitelist.load(config["whitelist"]).names)
    except WhitelistError as error:
        problems.extend(error.problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return exit_codes.CONFIG
    source = config.source or "no settings file"
    print(f"{source}: no mistake found; {names} entries in {config['whitelist']} can be run")
    return exit_codes.OK


def _print_notes(config: Config) -> None:
    for note in config.notes:
        print(f"{config.source or 'settings'}: {note}", file=sys.stderr)


def _serve(config: Config, options: argparse.Namespace) -> int:
    from push_jobs_agent import assembly, startup
    from push_jobs_agent.reload import reload
    from push_jobs_agent.runner_keeper import RunnerKeeper
    from push_jobs_agent.service import Service

    with startup.prepared(config):
        keeper = RunnerKeeper(config)
        ends, wait = assembly.ends(config, keeper.ask, VERSION, _is_watched())
        return Service(
            config, ends, keeper, wait, lambda old: reload(old, options.config, _given(options))
        ).run()


def _is_watched() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()

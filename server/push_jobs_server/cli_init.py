"""``push-jobs-server init``: asks for what a new server needs and tells what was made."""

from __future__ import annotations

import shlex
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from push_jobs_server import layout
from push_jobs_server.cli_support import DEFAULT_DATA_DIR, data_dir_of, examples
from push_jobs_server.settings import FILE_NAME, TABLE
from push_jobs_server.settings_file import parse_yaml
from push_jobs_wire.settings import SettingsError

if TYPE_CHECKING:
    from push_jobs_server.data import Installed, Plan


@click.command(
    "init",
    epilog=examples(
        "init --org acme --admin alice --host push.example.com --admin-key alice.pem",
        "init --org acme --admin alice --set http.port=8443 --set log.level=debug",
    ),
)
@click.option("--org", required=True, metavar="ORG", help="Name of the first organization.")
@click.option("--admin", required=True, metavar="NAME", help="Name of its administrator.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="Name or IP address of this server, for its certificate; may be repeated. The first one "
    "is told to agents.  [default: the full name of this machine]",
)
@click.option(
    "--admin-key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the administrator's private key to this new file instead of printing it.",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting that differs from its default; may be repeated. "
    "'show-config --reference' lists them.",
)
@click.pass_context
def init_command(
    context: click.Context,
    org: str,
    admin: str,
    hosts: Tuple[str, ...],
    admin_key: Optional[Path],
    given: Tuple[str, ...],
) -> None:
    """Make the data directory of a new server.

    It gets settings, a small CA with a certificate, keys, a database, the first organization and
    its administrator. An existing directory is used only if it is empty; if anything fails,
    nothing is left behind.
    """
    from push_jobs_server import data  # slow to load, and --help must not be

    plan = data.Plan(
        data_dir=data_dir_of(context),
        hosts=hosts or (socket.getfqdn(),),
        org=org,
        admin=admin,
        given=_read_settings(given),
        admin_key_file=admin_key,
    )
    installed = data.init(plan, time.time())
    for part in (_made(plan), _identity(plan, installed), _next_steps(plan, installed)):
        click.echo("\n".join(part) + "\n")


def _read_settings(given: Tuple[str, ...]) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    problems: List[str] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set {text}: expected NAME=VALUE")
        try:
            values[name], _ = parse_yaml(value, name)
        except SettingsError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    if problems:
        raise SettingsError("--set", problems)
    return values


def _made(plan: "Plan") -> List[str]:
    files = {
        FILE_NAME: "settings; each is explained there",
        _default("tls.ca"): "certificate of the CA; give it to agents and users",
        layout.CA_KEY: "its private key, to renew the next one",
        _default("tls.certificate"): f"certificate for {', '.join(plan.hosts)}",
        _default("tls.key"): "its private key",
        layout.SIGNING_KEY: "private key that signs heartbeats",
        layout.CURVE_KEYS: "key pair that encrypts commands",
    }
    lines = [f"  {name:<14}{text}" for name, text in files.items()]
    return [f"Made the data directory {plan.data_dir}:", *lines]


def _default(name: str) -> str:
    return str(TABLE.fields[name].default)


def _identity(plan: "Plan", installed: "Installed") -> List[str]:
    lines = [
        f"Database: {TABLE.show(installed.settings)['database']['url']}",
        f"Organization: {plan.org}",
        f"Administrator: {plan.admin}",
        f"CA fingerprint (SHA-256): {installed.fingerprint}",
    ]
    if installed.admin_key is None:
        return [*lines, f"Private key of {plan.admin}: {plan.admin_key_file}"]
    key = installed.admin_key.decode("ascii").rstrip("\n")
    return [
        *lines,
        f"Private key of {plan.admin}; keep it, it is stored nowhere else:",
        key,
    ]


def _next_steps(plan: "Plan", installed: "Installed") -> List[str]:
    values = installed.settings
    program = "push-jobs-server"
    if plan.data_dir != DEFAULT_DATA_DIR:
        program += f" --data-dir {shlex.quote(str(plan.data_dir))}"
    if values["identity"] == "chef":
        return [
            "Next:",
            f"  put the private key of {values['chef.user']} into {values['chef.key']} (mode 600)",
            f"  {program} check-config",
            f"  {program} run",
            "Who may do what is read from the Chef server: as long as identity is chef, the "
            f"administrator {plan.admin} is not used.",
        ]
    return [
        "Next:",
        f"  {program} run",
        f"  {program} client create NODE --org {plan.org} --public-key FILE",
        *_first_call(plan, installed),
    ]


def _first_call(plan: "Plan", installed: "Installed") -> List[str]:
    """How the administrator asks the server for the first time."""
    values = installed.settings
    host = values["zeromq.advertised_host"]
    netloc = f"[{host}]" if ":" in host else host
    key = shlex.quote(str(plan.admin_key_file or f"{plan.admin}.pem"))
    as_admin = f"/organizations/{plan.org} --user {plan.admin} --key {key}"
    if values["tls.enabled"]:
        # Port 0: the real one is known once the server runs.
        return [
            f"  push-jobs --server https://{netloc}:{values['http.port'] or 'PORT'}{as_admin} \\",
            f"    --fingerprint {installed.fingerprint} node list",
        ]
    return [
        f"  push-jobs --server https://{netloc}{as_admin} node list",
        "tls.enabled is false: that is the address of a proxy with https in front of this server, "
        "and --ca names the CA of its certificate unless that is a well-known one.",
    ]

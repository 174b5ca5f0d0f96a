"""``push-jobs-server status``: asks the running server of a data directory how it is."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
from pathlib import Path
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

import click

from push_jobs_server import settings
from push_jobs_server.cli_support import (
    UNREACHABLE,
    CommandError,
    data_dir_of,
    examples,
    format_option,
    present,
)
from push_jobs_server.layout import ADDRESSES, PID, RUN
from push_jobs_wire.settings import Values

PATH = "/pushy/_status"
_TIMEOUT = 5.0
_LARGEST_ANSWER = 1_000_000


@click.command("status", epilog=examples("status", "status --format json"))
@format_option
@click.pass_context
def status_command(context: click.Context, format_: str) -> None:
    """Tell whether the server is running.

    Nodes online are those with a connection of their own. With serf.organization set, it shows
    besides how many nodes are up over Serf, and whether the Serf agent lets this machine connect.

    Exits with 8 when it cannot be reached.
    """
    data_dir = data_dir_of(context)
    values = settings.load(data_dir)
    url = _address(data_dir, values)
    pid = _pid(data_dir)
    try:
        answer = _ask(url, values)
    except (OSError, http.client.HTTPException, ValueError) as error:
        noted = "" if pid is None else f" (process {pid} is noted as the server)"
        raise CommandError(
            f"cannot reach the server at {url}{noted}: {_reason(error)}", UNREACHABLE
        ) from error
    shown = {
        "url": url,
        "status": answer.get("status"),
        "pid": pid,
        "incarnation_id": answer.get("incarnation_id"),
        "nodes_online": answer.get("node_fsm_count"),
    }
    heads: Tuple[str, ...] = ("URL", "STATUS", "PID", "INCARNATION", "NODES ONLINE")
    row = list(shown.values())
    over_serf = _over_serf(values)
    if over_serf is not None:
        heads += ("UP OVER SERF", "SERF AGENT")
        agent = over_serf["agent_problem"] or "reached"
        row += [over_serf["nodes_up"], f"{over_serf['agent']}: {agent}"]
    present(format_, {**shown, "serf": over_serf}, heads, [row])


def _over_serf(values: Values) -> Optional[Dict[str, Any]]:
    if values["serf.organization"] is None:
        return None
    from push_jobs_server import serf_check  # needs the database library

    return {
        "organization": values["serf.organization"],
        "nodes_up": serf_check.nodes_up(values),
        "agent": values["serf.address"],
        "agent_problem": serf_check.agent_problem(values),
    }


def _address(data_dir: Path, values: Values) -> str:
    """Return the url of the server on this machine."""
    try:
        written = json.loads((data_dir / RUN / ADDRESSES).read_text(encoding="utf-8"))["http"]
        host, port = _split(str(written))
    except (OSError, ValueError, KeyError, TypeError):
        host, port = values["http.host"], values["http.port"]
    if port == 0:
        raise CommandError("the server does not run: it has not noted its port", UNREACHABLE)
    host = _local(host)
    scheme = "https" if values["tls.enabled"] else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _split(url: str) -> Tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def _local(host: str) -> str:
    """Return where to connect to a server that listens on ``host``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _pid(data_dir: Path) -> Optional[int]:
    try:
        return int((data_dir / RUN / PID).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _ask(url: str, values: Values) -> Dict[str, Any]:
    """Return the server's answer; raises OSError, HTTPException or ValueError."""
    host, port = _split(url)
    connection = _connection(host, port, values)
    try:
        connection.request("GET", PATH, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(_LARGEST_ANSWER)
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"it answers with status {response.status}")
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("what answers there is no push-jobs server")
    return answer


def _connection(host: str, port: int, values: Values) -> http.client.HTTPConnection:
    if not values["tls.enabled"]:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    context = ssl.create_default_context(cafile=values["tls.ca"])
    # We connect to an address of this machine, which a certificate for its public name lacks. That
    # our own CA has signed it is what counts.
    context.check_hostname = False
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not signed by our CA ({error.verify_message})"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"no answer within {_TIMEOUT:g} s"
    if isinstance(error, http.client.HTTPException):
        return "what answers there does not speak HTTP"
    return getattr(error, "strerror", None) or str(error)

"""Looks a data directory over without starting anything: what would keep ``run`` from working.

It changes nothing; the settings themselves are checked where they are read.
"""

from __future__ import annotations

import ssl
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, List

from push_jobs_server import authority, data, layout
from push_jobs_server.identity.chosen import open_chef
from push_jobs_server.private_files import read
from push_jobs_server.store import Store
from push_jobs_wire.errors import PushJobsError
from push_jobs_wire.settings import Values


def find_problems(data_dir: Path, values: Values, now: float) -> List[str]:
    """Return a text for everything that is wrong with keys, certificates and database.

    ``now`` is in seconds since the epoch.
    """
    checks: List[Callable[[], object]] = [
        lambda: data.signing_key(data_dir),
        lambda: data.curve_keys(data_dir),
        lambda: Store(values["database.url"]).close(),
    ]
    private = [
        data_dir / layout.SIGNING_KEY,
        data_dir / layout.CURVE_KEYS,
        data_dir / layout.CA_KEY,
    ]
    if values["identity"] == "chef":
        checks.append(lambda: open_chef(values).close())
        private.append(Path(values["chef.key"]))
    over_serf = values["serf.organization"] is not None
    if over_serf and not data.makes_shovey_key(values, data_dir):
        checks.append(lambda: data.shovey_key(values, data_dir))
        private.append(Path(values[data.SHOVEY_KEY]))
    if values["tls.enabled"]:
        checks += [
            lambda: _check_tls(values, now),
            lambda: _check_ca(Path(values["tls.ca"]), now),
        ]
        private.append(Path(values["tls.key"]))
    problems = [problem for check in checks for problem in _ask(check)]
    return problems + [problem for path in private for problem in _exposed(path)]


def _ask(check: Callable[[], object]) -> List[str]:
    try:
        check()
    except PushJobsError as error:
        return [str(error)]
    return []


def _check_tls(values: Values, now: float) -> None:
    certificate, key = Path(values["tls.certificate"]), Path(values["tls.key"])
    _check_validity(certificate, now)
    read(key)
    try:
        # An empty password: without it a locked key would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise data.DataError(
            f"{certificate} and {key} are no certificate and its unlocked private key: {reason}"
        ) from error


def _check_ca(path: Path, now: float) -> None:
    _check_validity(path, now)
    if not authority.is_authority(read(path)):
        raise data.DataError(f"{path} is not the certificate of an authority, so nobody can pin it")


def _check_validity(path: Path, now: float) -> None:
    content = read(path)
    try:
        end = authority.expiry(content)
    except authority.AuthorityError as error:
        raise data.DataError(f"{path}: {error}") from error
    if end <= datetime.fromtimestamp(now, timezone.utc):
        raise data.DataError(f"{path} has expired on {end:%Y-%m-%d}; renew it")


def _exposed(path: Path) -> List[str]:
    """Return a problem when others may read a private key; that it is missing is told elsewhere."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return []
    if not mode & 0o027:
        return []
    return [f"{path} is open to other users (mode {mode:04o}); chmod 600 it"]

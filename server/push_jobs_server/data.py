"""The data directory of a server: what is in it, and how it is made.

Everything that ``init`` makes is either complete or gone again. Of private keys only the server's
own are kept here.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_server import authority, settings
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.keys import new_key_pair
from push_jobs_server.layout import CA_KEY, CURVE_KEYS, RUN, SIGNING_KEY
from push_jobs_server.operators import operator_name
from push_jobs_server.private_files import FileError, read, write_new
from push_jobs_server.store import Store
from push_jobs_wire.chef_auth import load_private_key
from push_jobs_wire.errors import LocalError, PushJobsError
from push_jobs_wire.settings import Values

SHOVEY_KEY = "serf.signing_key"
"""Setting that names the key which signs commands to nodes over Serf."""


class DataError(LocalError):
    """Raised when a data directory cannot be made or used; the text names it and what to do."""


@dataclass(frozen=True)
class Plan:
    """What a new server should be like.

    ``hosts`` are the names and addresses of the server, the first one is told to agents;
    ``given`` are settings by their full names; without ``admin_key_file`` the administrator's
    private key comes back from ``init``.
    """

    data_dir: Path
    hosts: Sequence[str]
    org: str
    admin: str
    given: Mapping[str, Any] = field(default_factory=dict)
    admin_key_file: Optional[Path] = None


@dataclass(frozen=True)
class Installed:
    """What ``init`` made. ``admin_key`` is None when it was written to a file."""

    settings: Values
    fingerprint: str
    admin_key: Optional[bytes] = field(repr=False)


def init(plan: Plan, now: float) -> Installed:
    """Make a data directory, its keys and certificates, the database, an organization and its
    administrator; certificates are valid from ``now`` (seconds since the epoch).

    Raises a PushJobsError when anything fails; nothing of it is left then.
    """
    given = {"zeromq.advertised_host": plan.hosts[0], **plan.given}
    settings.TABLE.parse(_nested(given), "--set")
    with ExitStack() as undo:
        _claim(plan.data_dir, undo)
        _write_settings(plan.data_dir, given)
        values = settings.load(plan.data_dir)
        _write_certificates(plan.data_dir, plan.hosts, now)
        _write_keys(plan.data_dir)
        fingerprint = _fingerprint(Path(values["tls.ca"]))
        admin_key = _fill_database(plan, values["database.url"])
        undo.pop_all()
    return Installed(values, fingerprint, admin_key)


def signing_key(data_dir: Path) -> RSAPrivateKey:
    """Return the key that signs heartbeats; raises PushJobsError that names its file."""
    return _private_key(data_dir / SIGNING_KEY)


def shovey_key(values: Values, data_dir: Path) -> RSAPrivateKey:
    """Return the key that signs commands to nodes over Serf; it may have to be made first.

    It is used for nothing else, because that protocol signs with SHA-1 (shovey 4.2). Raises
    PushJobsError that names setting and file.
    """
    path = Path(values[SHOVEY_KEY])
    try:
        if makes_shovey_key(values, data_dir):
            write_new(path, new_key_pair().private)
        return _private_key(path)
    except LocalError as error:
        raise DataError(f"{SHOVEY_KEY}: {error}{_remedy(error)}") from error


def makes_shovey_key(values: Values, data_dir: Path) -> bool:
    """Whether that key is not there and the server makes it.

    It does so at the default path only: who chose a path means a key that the nodes know already.
    """
    path = values[SHOVEY_KEY]
    return Path(path) == settings.default_path(SHOVEY_KEY, data_dir) and not os.path.lexists(path)


def _remedy(error: LocalError) -> str:
    if not isinstance(error.__cause__, FileNotFoundError):
        return ""
    return (
        "; correct the setting, or put the key that the nodes know there "
        "(without the setting the server makes a new one)"
    )


def _private_key(path: Path) -> RSAPrivateKey:
    try:
        return load_private_key(read(path))
    except FileError:
        raise
    except LocalError as error:
        raise DataError(f"{path}: {error}") from error


def curve_keys(data_dir: Path) -> Tuple[str, str]:
    """Return the public and secret CURVE key as Z85; raises PushJobsError that names the file."""
    path = data_dir / CURVE_KEYS
    content = read(path)
    try:
        pair = json.loads(content)
        public, secret = str(pair["public"]), str(pair["secret"])
        fits = zmq.curve_public(secret.encode("ascii")).decode("ascii") == public
    except (ValueError, KeyError, TypeError, zmq.ZMQError):
        fits = False
    if not fits:
        raise DataError(f"{path} holds no CURVE key pair; restore it from a copy")
    return public, secret


def _nested(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return settings by full names as they would stand in a file."""
    mapping: Dict[str, Any] = {}
    for name, value in given.items():
        known = settings.TABLE.fields.get(name)
        if known is not None and known.section:
            mapping.setdefault(known.section, {})[known.key] = value
        else:
            mapping[name] = value
    return mapping


def _claim(data_dir: Path, undo: ExitStack) -> None:
    """Make the directory, or take an empty one."""
    if "?" in str(data_dir):
        raise DataError(
            f"{data_dir}: a database url cannot hold the '?' in it; choose another name"
        )
    try:
        _make_or_take(data_dir, undo)
        # Only one of two that run at once can make it, so neither cleans up after the other.
        (data_dir / RUN).mkdir(mode=0o700)
    except FileExistsError:
        raise DataError(f"another init is at work in {data_dir}; nothing was changed") from None
    except OSError as error:
        raise DataError(
            f"cannot make the data directory {data_dir}: {error.strerror}; "
            "choose another one with --data-dir, or run this as a user who may write there"
        ) from error
    _on_failure(undo, _empty, data_dir)


def _on_failure(undo: ExitStack, function: Callable[..., object], *arguments: object) -> None:
    """Call the function if anything fails later; people get to hear of the first error only."""

    def attempt() -> None:
        with suppress(OSError, PushJobsError):
            function(*arguments)

    undo.callback(attempt)


def _make_or_take(data_dir: Path, undo: ExitStack) -> None:
    try:
        data_dir.mkdir(mode=0o700)
    except FileExistsError:
        if os.listdir(data_dir):
            raise DataError(
                f"{data_dir} is not empty; nothing was changed. Choose another --data-dir, or "
                "empty it if what is in there is not needed any more"
            ) from None
        mode = stat.S_IMODE(data_dir.stat().st_mode)
        if mode != 0o700:
            data_dir.chmod(0o700)
            _on_failure(undo, data_dir.chmod, mode)
    else:
        _on_failure(undo, data_dir.rmdir)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_settings(data_dir: Path, given: Mapping[str, Any]) -> None:
    head = (
        "# Settings of push-jobs-server. A line that begins with #NAME: shows the default.\n"
        "# Relative paths start in this directory. Check changes with:\n"
        "#   push-jobs-server check-config\n\n"
    )
    sample = settings.TABLE.sample(given)
    # Private, because the database's url may hold a password.
    write_new(data_dir / settings.FILE_NAME, (head + sample).encode("utf-8"))


def _write_certificates(data_dir: Path, hosts: Sequence[str], now: float) -> None:
    ca = authority.make_authority(now)
    server = authority.issue(ca, hosts, now)
    # Kept so that the certificate can be renewed under the same fingerprint.
    write_new(data_dir / CA_KEY, ca.key)
    fields = settings.TABLE.fields
    write_new(data_dir / fields["tls.ca"].default, ca.certificate, 0o644)
    write_new(data_dir / fields["tls.key"].default, server.key)
    write_new(data_dir / fields["tls.certificate"].default, server.certificate, 0o644)


def _fingerprint(ca: Path) -> str:
    try:
        return authority.fingerprint(read(ca))
    except authority.AuthorityError as error:
        raise DataError(f"{ca}: {error}") from error


def new_curve_keys() -> bytes:
    """A new CURVE pair as its file has it."""
    public, secret = zmq.curve_keypair()
    pair = {"public": public.decode("ascii"), "secret": secret.decode("ascii")}
    return json.dumps(pair).encode("ascii") + b"\n"


def _write_keys(data_dir: Path) -> None:
    write_new(data_dir / CURVE_KEYS, new_curve_keys())
    write_new(data_dir / SIGNING_KEY, new_key_pair().private)


def _fill_database(plan: Plan, url: str) -> Optional[bytes]:
    Store.migrate(url)
    keys = new_key_pair()
    with closing(Store(url)) as store, ExitStack() as undo:
        _make_identities(plan, LocalIdentity(store, operator_name()), keys.public, undo)
        if plan.admin_key_file is not None:
            write_new(plan.admin_key_file, keys.private)
        undo.pop_all()
    return keys.private if plan.admin_key_file is None else None


def _make_identities(plan: Plan, identity: LocalIdentity, public_key: str, undo: ExitStack) -> None:
    if identity.orgs():
        raise DataError(
            "the database holds organizations already and was left as it is; "
            "choose an empty one, or copy the data directory that belongs to it"
        )
    identity.create_org(plan.org, plan.org)
    _on_failure(undo, identity.delete_org, plan.org)
    identity.create_user(plan.admin, public_key)
    _on_failure(undo, identity.delete_user, plan.admin)
    identity.add_user_to_org(plan.org, plan.admin)
    identity.add_to_group(plan.org, "admins", "user", plan.admin)

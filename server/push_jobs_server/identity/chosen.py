"""Opens the source of identities that the settings choose."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any, Mapping

from push_jobs_server.identity.base import Identity, IdentityError
from push_jobs_server.identity.cached import CachedIdentity
from push_jobs_server.identity.chef import ChefIdentity
from push_jobs_server.identity.chef_http import ChefHttp, Signer
from push_jobs_server.identity.chef_places import Places
from push_jobs_server.identity.local import LocalIdentity
from push_jobs_server.identity.remembered import RememberedIdentity
from push_jobs_server.private_files import FileError, read
from push_jobs_server.store import Store
from push_jobs_wire.chef_auth import load_private_key
from push_jobs_wire.errors import LocalError


def open_identity(settings: Mapping[str, Any], store: Store) -> Identity:
    """The source of identities; the caller closes it. Raises LocalError when a file can't be used.

    Args:
        settings: as loaded.
        store: where ``local`` identities are.
    """
    if settings["identity"] == "local":
        return RememberedIdentity(LocalIdentity(store))
    chef = open_chef(settings)
    seconds = float(settings["chef.cache_time"])
    if not seconds:
        return chef
    return CachedIdentity(chef, seconds, time.monotonic)


def open_chef(settings: Mapping[str, Any]) -> ChefIdentity:
    """The Chef servers of the settings; nobody is asked yet. Raises LocalError."""
    ca = settings["chef.ca"]
    if ca is not None:
        _check_ca(Path(ca))
    signer = Signer(
        settings["chef.user"], _key(Path(settings["chef.key"])), settings["chef.sign_version"]
    )
    _try(signer)
    return ChefIdentity(
        ChefHttp(signer, ca),
        Places(settings["chef.url"], settings["chef.organizations"]),
        float(settings["chef.timeout"]),
        bool(settings["chef.key_lists"]),
        settings["chef.root_admins"],
    )


def _key(path: Path) -> Any:
    try:
        return load_private_key(read(path))
    except FileError as error:
        raise IdentityError(f"chef.key: {error}") from None
    except LocalError as error:
        raise IdentityError(f"chef.key: {path}: {error}") from None


def _try(signer: Signer) -> None:
    """Sign once now: a name or key that can't would otherwise be noticed with each request."""
    try:
        signer.sign("/")
    except LocalError as error:
        raise IdentityError(f"chef.user and chef.key: {error}") from None


def _check_ca(path: Path) -> None:
    read(path)
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError):
        raise IdentityError(f"chef.ca: {path} holds no certificate in PEM form") from None

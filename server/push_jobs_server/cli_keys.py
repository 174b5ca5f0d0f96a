"""Public keys for users and clients: read from a file, or made here and handed over once."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import click

from push_jobs_server.cli_support import CommandError, notice
from push_jobs_server.private_files import read, write_new
from push_jobs_wire.errors import LocalError


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--public-key`` and ``--key-out`` to a command."""
    path = click.Path(path_type=Path)
    out = click.option(
        "--key-out",
        metavar="FILE",
        type=path,
        help="Write the new private key to this new file (mode 0600) instead of printing it.",
    )
    public = click.option(
        "--public-key",
        metavar="FILE",
        type=path,
        help="Public key in PEM form; without it a key pair is made and the private key printed.",
    )
    return public(out(command))


@contextmanager
def public_key_for(
    owner: str, public_key: Optional[Path], key_out: Optional[Path]
) -> Iterator[str]:
    """Yield the public key to register, as PEM.

    A new private key is printed once the block is done, or was written to ``key_out``, where it
    stays only if the block succeeds.
    """
    if public_key is not None:
        if key_out is not None:
            raise click.UsageError("--key-out is for a new key, so it excludes --public-key")
        yield _read(public_key)
        return
    from push_jobs_server.keys import new_key_pair

    keys = new_key_pair()
    if key_out is None:
        yield keys.public
        notice(f"private key of {owner}; keep it, it is stored nowhere else:")
        click.echo(keys.private.decode("ascii"), nl=False)
        return
    write_new(key_out, keys.private)
    try:
        yield keys.public
    except BaseException:
        key_out.unlink()
        raise
    notice(f"private key of {owner} written to {key_out}")


def _read(path: Path) -> str:
    from push_jobs_server.keys import public_pem
    from push_jobs_wire.chef_auth import load_public_key

    content = read(path)
    try:
        return public_pem(load_public_key(content))
    except LocalError as error:
        raise CommandError(f"{path}: {error}") from error

"""The real knife with knife-shove, unmodified; ruby/chef/rest.rb has what today's knife lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from house import Done
from knife import Knife

_RUBY = Path(__file__).parent / "ruby"
"""On Ruby's load path: some commands require ``chef/rest``; for the others knife.rb does."""


class KnifeShove:
    """Runs the commands of ``knife goiardi`` against a server that speaks Shovey.

    Args:
        folder: where its files go; made here.
        url: address of the server.
        user: who signs.
        key: with what.
        ca: certificate of the authority that is trusted; None for plain HTTP.

    Raises Missing where the Ruby programs are not installed.
    """

    def __init__(
        self, folder: Path, url: str, user: str, key: RSAPrivateKey, ca: Optional[Path] = None
    ) -> None:
        extra = ['require "chef/rest"']
        self._knife = Knife(folder, url, user, key, ca, extra=extra, RUBYLIB=str(_RUBY))

    def __call__(self, *words: str) -> Done:
        """Run ``knife goiardi`` with these words to its end."""
        return self._knife("goiardi", *words)

"""The Ruby push client of old, unmodified, as a process of a test.

It runs from the gem set ``ruby-client`` and is watched from outside alone: its file, signals, its
log. It writes files of jobs to a folder of its own choice below /tmp and leaves them there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, Optional

from cryptography.hazmat.primitives.asymmetric import rsa
from gems import gem_set
from house import House
from peer import STARTED, Peer
from stub_certificates import pem_of, write_private
from waiting import wait_until


class RubyClient(Peer):
    """One node with its files. ``start`` may be called again after ``stop``.

    Args:
        node: its name.
        folder: an empty folder of its own.
        url: the organization's address.
        ca_file: the certificate of the CA that it trusts.
        key: its private key.
        whitelist: command lines by their names.
        settings: more settings of its file by their names.

    Raises:
        Missing: the gem set is not installed here.
    """

    def __init__(
        self,
        node: str,
        folder: Path,
        url: str,
        ca_file: Path,
        key: rsa.RSAPrivateKey,
        whitelist: Dict[str, str],
        **settings: Any,
    ) -> None:
        gems = gem_set("ruby-client")
        folder.mkdir()
        self._config = folder / "client.rb"
        words = [*gems.command("pushy-client"), "-c", str(self._config)]
        super().__init__(node, folder, lambda _: words, gems.environment())
        trusted = folder / "trusted_certs"
        trusted.mkdir()
        shutil.copy(ca_file, trusted / "ca.crt")
        key_file = folder / "client.pem"
        write_private(key_file, pem_of(key))
        lines: Dict[str, Any] = {
            "node_name": node,
            "chef_server_url": url,
            "client_key": str(key_file),
            "trusted_certs_dir": str(trusted),
            "whitelist": whitelist,
            **settings,
        }
        text = "".join(f"{name}({_ruby(value)})\n" for name, value in lines.items())
        self._config.write_text(f"log_location STDOUT\n{text}")

    def start(self) -> None:
        """Start it; it joins a while later. It serves no port."""
        if self not in STARTED:
            STARTED.append(self)
        self._launch()

    def wait_logged(self, text: str, start: int = 0) -> None:
        """Wait until a text is in its log, not counting what is before the byte ``start``."""
        whole = text.encode()
        wait_until(
            lambda: whole in self.log_file.read_bytes()[start:], f"{text!r} in {self.log_file}"
        )


def add_ruby_client(
    house: House,
    node: str,
    whitelist: Dict[str, str],
    key: Optional[rsa.RSAPrivateKey] = None,
    **settings: Any,
) -> RubyClient:
    """Register a node unless it has a key, and start its client. Raises Missing."""
    key = key or house.new_key(node)
    place, ca_file = house.folder / f"ruby-{node}", house.data / "ca.crt"
    client = RubyClient(node, place, house.url, ca_file, key, whitelist, **settings)
    client.start()
    return client


def _ruby(value: Any) -> str:
    """A value as Ruby source."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_ruby(k)} => {_ruby(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_ruby, value)) + "]"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"

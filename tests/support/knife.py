"""The real knife with knife-push, as one person's workstation has it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Optional, Sequence

from chef_servers import private_pem
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from gems import gem_set
from house import Done


class Knife:
    """Runs knife in a folder of its own; nothing of this machine's user is read.

    Args:
        folder: where its files go; made here.
        url: address of the organization, or of a server without any.
        user: who signs.
        key: with what.
        ca: certificate of the authority that is trusted; None for plain HTTP.
        retries: how often it repeats a request after an error of the server; each costs seconds.
        extra: more lines for knife.rb.
        variables: more for its environment.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        user: str,
        key: RSAPrivateKey,
        ca: Optional[Path] = None,
        retries: int = 0,
        extra: Sequence[str] = (),
        **variables: str,
    ) -> None:
        trusted = folder / "trusted_certs"
        trusted.mkdir(parents=True)
        if ca is not None:
            (trusted / "ca.crt").write_bytes(ca.read_bytes())
        key_file = folder / f"{user}.pem"
        key_file.write_bytes(private_pem(key))
        settings = {
            "node_name": user,
            "client_key": key_file,
            "chef_server_url": url,
            "trusted_certs_dir": trusted,
        }
        lines = [f'{name} "{value}"' for name, value in settings.items()]
        self._file = folder / "knife.rb"
        self._file.write_text("\n".join([*lines, f"http_retry_count {retries}", *extra, ""]))
        self._folder = folder
        self._variables = variables
        self._gems = gem_set("main")

    def __call__(self, *words: str) -> Done:
        """Run a command to its end."""
        environment = self._gems.environment(HOME=str(self._folder), **self._variables)
        done = subprocess.run(
            [*self._gems.command("knife"), *words, "--config", str(self._file), "--no-color"],
            cwd=self._folder,
            env={key: text for key, text in environment.items() if not _is_proxy(key)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=60,
        )
        said = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        # Shown when the test fails: a text that knife hides is in its second stream.
        print(f"--- knife {' '.join(words)}: exit {said.code}\n{said.out}{said.err}")
        return said


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")

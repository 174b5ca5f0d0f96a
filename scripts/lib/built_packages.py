"""Debian packages of the sources as they are now, built once and kept in the cache.

``python3 scripts/lib/built_packages.py [VERSION]`` prints the folder that holds them. They are kept
by what they are made from; building is the business of scripts/package.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Optional

from build_cache import kept

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = (
    "wire",
    "agent",
    "server",
    "workstation",
    "packaging",
    "docs",
    "README.md",
    "scripts/package",
)
_UNWANTED = {"__pycache__", "build"}
_KEPT = 3
"""Builds of a version that stay in the cache: other clones may need them."""


class BuildFailed(Exception):
    """Raised when the packages can't be built; the text is what the script said."""


def packages(version: Optional[str] = None) -> Path:
    """The folder with the packages, after building them if need be. Raises BuildFailed.

    Args:
        version: another version than that of the sources.
    """

    def build(folder: Path) -> None:
        words = [str(ROOT / "scripts" / "package"), *(["--version", version] if version else [])]
        done = subprocess.run([*words, str(folder)], text=True, capture_output=True, check=False)
        if done.returncode:
            raise BuildFailed(done.stderr)

    return kept("packages", version or "current", _made_from(), build, _KEPT)


def _made_from() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _files() -> Iterator[Path]:
    for name in _SOURCES:
        source = ROOT / name
        for path in source.rglob("*") if source.is_dir() else [source]:
            parts = path.relative_to(ROOT).parts
            unwanted = _UNWANTED.intersection(parts) or any(
                part.endswith(".egg-info") for part in parts
            )
            if path.is_file() and not unwanted:
                yield path


if __name__ == "__main__":
    try:
        print(packages(*sys.argv[1:2]))
    except BuildFailed as error:
        raise SystemExit(str(error)) from None

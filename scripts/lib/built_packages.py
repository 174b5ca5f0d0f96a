"""Debian packages of the sources as they are now, built once and kept in the cache.

``python3 scripts/lib/built_packages.py [VERSION]`` prints the folder that holds them. They are kept
by what they are made from; building is the business of scripts/package.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Optional

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
_KEPT = 6
"""Builds that stay in the cache; a clone of today and one of yesterday need two versions each."""


class BuildFailed(Exception):
    """Raised when the packages can't be built; the text is what the script said."""


def packages(version: Optional[str] = None) -> Path:
    """The folder with the packages, after building them if need be. Raises BuildFailed.

    Args:
        version: another version than that of the sources.
    """
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "push-jobs" / "packages"
    )
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{_key()}-{version or 'current'}"
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "SHA256SUMS").exists():
            _build(folder, version)
            _forget_old(cache)
    return folder


def _key() -> str:
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


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


def _build(folder: Path, version: Optional[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    words = [str(ROOT / "scripts" / "package"), *(["--version", version] if version else [])]
    done = subprocess.run([*words, str(folder)], text=True, capture_output=True, check=False)
    if done.returncode:
        raise BuildFailed(done.stderr)


def _forget_old(cache: Path) -> None:
    builds = sorted(cache.glob("*-*"), key=lambda path: path.stat().st_mtime)
    for old in builds[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    try:
        print(packages(*sys.argv[1:2]))
    except BuildFailed as error:
        raise SystemExit(str(error)) from None

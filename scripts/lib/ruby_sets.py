"""The sets of Ruby programs that ``scripts/lib/gems.sh`` installs, and how to run what is in them.

A set is known by the name of its folder in tests/interop/gems; "chef" is the Gemfile of the clone
itself. Nothing is installed here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from build_cache import place

_ROOT = Path(__file__).resolve().parents[2]
_RUBY = Path("/usr/bin/ruby")


class NotInstalled(Exception):
    """Raised for a set that is not installed here; the text says where it would be."""


@dataclass(frozen=True)
class RubySet:
    """One installed set; ``folder`` holds its Gemfile and the gems."""

    folder: Path

    def command(self, program: str) -> List[str]:
        """How a command line of a program of the set begins; the process keeps its id."""
        return [str(_RUBY), "/usr/bin/bundle", "exec", program]

    def environment(self, **more: str) -> Dict[str, str]:
        """The variables for such a command: ours, those of Bundler, and ``more``."""
        foreign = ("BUNDLE_", "GEM_", "RUBY")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        return {
            **kept,
            "BUNDLE_GEMFILE": str(self.folder / "Gemfile"),
            "BUNDLE_PATH": str(self.folder / "gems"),
            "BUNDLE_APP_CONFIG": str(self.folder),
            "BUNDLE_SILENCE_ROOT_WARNING": "1",
            "CHEF_LICENSE": "accept-no-persist",
            # Ruby takes it from the locale, and has no UTF-8 without one.
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            **more,
        }


def ruby_set(name: str) -> RubySet:
    """The set of this name. Raises NotInstalled."""
    source = _ROOT if name == "chef" else _ROOT / "tests" / "interop" / "gems" / name
    key = hashlib.sha256((source / "Gemfile").read_bytes()).hexdigest()[:12]
    folder = place("gems", f"{name}-{key}")
    installed = folder / "installed"
    if not installed.exists() or installed.read_text().strip() != str(_RUBY.resolve()):
        raise NotInstalled(f"no Ruby programs {name!r} in {folder}; scripts/test installs them")
    return RubySet(folder)

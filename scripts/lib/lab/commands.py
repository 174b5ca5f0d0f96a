"""Running the machine's own programs, with errors that say what they said."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Sequence, Union

Word = Union[str, Path]


class LabError(Exception):
    """Raised when a node, a network or an image can't be had; the text says why."""


def run(words: Sequence[Word], text: str = "", timeout: float = 600.0) -> str:
    """What a command prints. ``text`` is its input. Raises LabError when it fails."""
    try:
        done = subprocess.run(
            [str(word) for word in words],
            input=text,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{_shown(words)} took more than {timeout:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-4000:]
        raise LabError(f"{_shown(words)} failed with {done.returncode}: {said}")
    return done.stdout


def succeeds(words: Sequence[Word]) -> bool:
    """Whether a command, whose words do not matter, ends with 0."""
    done = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _shown(words: Sequence[Word]) -> str:
    return " ".join(str(word) for word in words)[:200]

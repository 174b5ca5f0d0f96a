"""The shape of a finished command, and of the fixture that runs one inside the test's process."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs the command line with these arguments."""

    def __call__(self, *arguments: str) -> Result:
        """Return how it ended."""

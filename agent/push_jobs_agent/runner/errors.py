"""The errors of the runner. Their texts are meant for operators.

They do not descend from the agent's root: that one lives in another distribution, which a process
that has the standard library alone cannot import.
"""

from __future__ import annotations


class RunnerError(Exception):
    """Raised when the runner cannot do what it was asked; the text says what to do next."""


class Refused(RunnerError):
    """Raised when a job may not or cannot run here; the text is the reason told to the server."""


class NotListed(Refused):
    """Raised when the whitelist has no entry for a job, or one that is switched off."""


class WhitelistError(RunnerError):
    """Raised for a whitelist that cannot be used.

    Args:
        problems: every mistake found, each naming the file and the key.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

"""What the command lines of session and runner have in common: how they tell of mistakes."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from push_jobs_agent import exit_codes
from push_jobs_wire.settings import SettingsError


class Parser(argparse.ArgumentParser):
    """Ends with the exit code for mistakes in settings, as Chef's programs do."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        self.print_usage(sys.stderr)
        self.exit(exit_codes.CONFIG, f"{self.prog}: {message}\n")


def tell(error: SettingsError) -> int:
    """Print every mistake; returns the exit code that tells of mistakes."""
    for problem in error.problems:
        print(f"{error.source}: {problem}", file=sys.stderr)
    return exit_codes.CONFIG

"""Where the console script begins: it loads the rest where an interrupt is already expected."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code; see ``push_jobs.cli``."""
    try:
        # Loading all modules takes a while, in which people press Ctrl-C too.
        from push_jobs.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130  # exit_codes.INTERRUPTED; that module may not be loaded

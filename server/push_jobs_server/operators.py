"""Who is at the server's own command line, for the audit trail."""

from __future__ import annotations

import os
import pwd


def operator_name() -> str:
    """The account that runs this process; with sudo, the one that called it."""
    account = os.geteuid()
    if account == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return str(account)

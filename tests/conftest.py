"""What all tests share: properties are checked without a time limit, as machines may be busy."""

from __future__ import annotations

from typing import Any

from counted import COUNTED
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests have counted and not judged, such as jobs that another program loses."""
    reports = (each for kind in ("passed", "failed") for each in terminalreporter.getreports(kind))
    for report in reports:
        for name, value in report.user_properties:
            if name == COUNTED:
                terminalreporter.write_line(f"{report.nodeid}: {value}")

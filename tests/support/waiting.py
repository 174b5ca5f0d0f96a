"""Waiting for what has to come, with a deadline: the one place where tests pause."""

from __future__ import annotations

import time
from typing import Any, Callable

PATIENCE = 20.0
"""Seconds until a test gives up waiting."""


def wait_until(
    condition: Callable[[], Any], what: str = "a condition", patience: float = PATIENCE
) -> Any:
    """The first true value of ``condition``; fails after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {patience} s in vain for: {what}")

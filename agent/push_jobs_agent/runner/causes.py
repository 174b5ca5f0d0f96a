"""What the reason of a failed job is about, where others have a word of their own for it."""

from __future__ import annotations

TIMED_OUT = "timeout"
NOT_STARTED = "not started"

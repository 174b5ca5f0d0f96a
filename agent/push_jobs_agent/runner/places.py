"""Where session and runner meet: names of files in the state folder. Imports nothing."""

from __future__ import annotations

SOCKET = "runner.sock"
LOCK = "runner.lock"
SESSION_LOCK = "session.lock"
LONGEST_SOCKET_PATH = 107
"""Bytes of the path of a Unix socket; the kernel takes no more."""

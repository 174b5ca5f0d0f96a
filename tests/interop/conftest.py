"""What all tests against real peers have: Chef servers, and their logs when a test fails."""

from __future__ import annotations

from chef_fixtures import chef_zero, goiardi, peer_logs, unique
from shovey_fixtures import serf, shovey

__all__ = ["chef_zero", "goiardi", "peer_logs", "serf", "shovey", "unique"]

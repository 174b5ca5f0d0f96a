"""The root of every error this distribution raises. Their texts are meant for operators."""

from __future__ import annotations

from push_jobs_wire.errors import LocalError


class AgentError(LocalError):
    """Raised when the agent cannot do what it was asked; the text says what to do next."""

"""Two kinds of settings that come often, in the short form in which the table lists them."""

from __future__ import annotations

from typing import Optional

from push_jobs_wire.settings import Field


def seconds(name: str, default: float, help: str, minimum: float, maximum: float) -> Field:
    """A length of time in seconds, whole when its default is."""
    kind = "int" if isinstance(default, int) else "float"
    return Field(name, kind, default, help, "seconds", minimum=minimum, maximum=maximum)


def count(
    name: str,
    default: int,
    help: str,
    minimum: int,
    maximum: int,
    unit: Optional[str] = None,
) -> Field:
    """A whole number of something."""
    return Field(name, "int", default, help, unit, minimum=minimum, maximum=maximum)

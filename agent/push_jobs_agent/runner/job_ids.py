"""Which job ids this node takes: the rule for session and runner alike.

An id becomes the name of a folder. Standard library only, because the runner has nothing else.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

_USABLE = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_usable(job_id: Any) -> bool:
    """True when the id can be the name of a folder, and nothing but that."""
    return isinstance(job_id, str) and _USABLE.fullmatch(job_id) is not None


def problem(job_id: Any) -> Optional[str]:
    """Why the id is refused, in words for the server; None when it is usable."""
    if is_usable(job_id):
        return None
    return "the job id is not usable: expected 1 to 64 letters, digits and hyphens"

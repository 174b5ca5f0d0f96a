"""Why a request of a node itself was refused, noted for people who ask what the node lacks."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Tuple

from push_jobs_server.api.services import Failure, Services
from push_jobs_server.node_records import Refusal


def note_refused(
    services: Services,
    environ: Dict[str, Any],
    whose: Tuple[str, str],
    what: str,
    failure: Failure,
) -> None:
    """Remember a refusal, if the request came in the name of the node.

    Args:
        services: of the server.
        environ: the request.
        whose: organization and node that the request is about.
        what: what was refused, such as settings.
        failure: the answer.
    """
    if environ.get("HTTP_X_OPS_USERID") != whose[1] or failure.status >= 500:
        return
    now, detail = services.clock(), f"{what} refused: {failure.text}"
    offset = _clock_offset(environ, now)
    if failure.status == 401 and abs(offset) >= float(services.settings["request_skew"]):
        refusal = Refusal("bad_clock", detail, now, offset)
    else:
        refusal = Refusal("bad_key" if failure.status == 401 else "not_allowed", detail, now)
    services.refused.note(*whose, refusal)


def _clock_offset(environ: Dict[str, Any], now: float) -> float:
    """By how many seconds the clock of the caller is ahead; 0 when it does not say its time."""
    text = str(environ.get("HTTP_X_OPS_TIMESTAMP", ""))
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return 0.0
    return at.timestamp() - now

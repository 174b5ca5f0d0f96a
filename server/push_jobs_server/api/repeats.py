"""Which job a start means that may have come before: the header ``Idempotency-Key``. Pure.

A start with a key gets an id that is made of the key, so that the key needs no place of its own: it
is stored with the job, and it is forgotten with the job. Whoever repeats a signed request byte for
byte needs no key (``JobRequest.request_key``); the key is for those who sign anew.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import replace
from typing import Any, Mapping, Optional

from push_jobs_server.api.services import Caller, Failure
from push_jobs_server.records import JobRequest

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[!-~]{8,128}")


def read_key(environ: Mapping[str, Any]) -> Optional[str]:
    """The key of a request, None without one. Raises Failure 400.

    Proxies join several headers of one name with commas; that is no key, either.
    """
    key: Optional[str] = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not _FORM.fullmatch(key) or "," in key:
        text = f"invalid {HEADER} (expected 8 to 128 visible ASCII characters without a comma)"
        raise Failure(400, [text])
    return key


def id_of(org: str, caller: Caller, key: Optional[str]) -> str:
    """The id of a caller's job: the same one for the same key, a random one without."""
    if key is None:
        return uuid.uuid4().hex
    parts = "\0".join((org, caller.kind, caller.name, key))
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:32]


def check_same(first: JobRequest, asked: JobRequest, timeout_was_given: bool) -> None:
    """Raise Failure 422 when a key that was used before comes with something else to do."""
    if not timeout_was_given:
        # What the server fills in may have changed since.
        asked = replace(asked, run_timeout=first.run_timeout)
    if not first.repeated_by(asked):
        raise other_request()


def other_request() -> Failure:
    """The answer to a key that belongs to another request."""
    text = f"this {HEADER} was used for another job; use a new key for each job"
    return Failure(422, [text])

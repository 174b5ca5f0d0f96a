"""Whether a command over Serf counts: the checks of the protocol. Pure.

A message that nobody has signed changes nothing, so the server is told nothing of it: the signature
comes first. The other checks come in the protocol's order; what fails one of them is answered with
`invalid`, in the documented words and only where it would have started something, and the caller
still leaves runs alone that are or were here. Source: shovey 4.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

from push_jobs_wire import shovey
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.shovey import NotVerified

CLOCK = "Authentication failed. Please check your system's clock."
REPORTED_WITHIN = 86400.0
"""Seconds: a message that is older than that is from a time that nobody remembers; no report."""


@dataclass(frozen=True)
class Command:
    """A command that was signed just now; ``timeout`` in seconds, None without one."""

    action: str
    run_id: str
    job_id: str
    command: str
    timeout: Optional[int]
    with_256: bool


class NotAccepted(RemoteError):
    """Raised for a message that does not count.

    ``run_id`` is the run to report as invalid in the words of ``report``; None when nobody should
    be told anything.
    """

    def __init__(self, reason: str, run_id: Optional[str] = None, report: str = "") -> None:
        super().__init__(reason)
        self.run_id = run_id
        self.report = report


def check(
    data: bytes, public_key: Tuple[int, int], need_256: bool, wall: float, slew: float
) -> Command:
    """The command in the payload of a query.

    Args:
        data: the payload.
        public_key: modulus and exponent of the server's signing key.
        need_256: the second signature has to be there.
        wall: the time now, in seconds since the epoch.
        slew: seconds that the command's time may be away from it.

    Raises NotAccepted.
    """
    fields = _fields(data)
    run_id, job_id = _run(fields)
    with_256 = _signed(fields, public_key, need_256)
    action, command = fields.get("action", ""), fields.get("command", "")
    if not action:
        raise _invalid(fields, f"No action given for command {command} with job ID {run_id}")
    timeout = _timeout(fields)
    _check_time(fields, wall, slew)
    if action not in (shovey.START, shovey.CANCEL):
        raise NotAccepted(f"unknown action {action[:60]!r}")
    return Command(action, run_id, job_id, command, timeout, with_256)


def _fields(data: bytes) -> Mapping[str, str]:
    try:
        return shovey.decode(data)
    except RemoteError as error:
        raise NotAccepted(str(error)) from None


def _run(fields: Mapping[str, str]) -> Tuple[str, str]:
    run_id = fields.get("run_id", "")
    job_id = shovey.job_id_of(run_id)
    if job_id is None:
        raise NotAccepted(f"the run id {run_id[:60]!r} is no UUID")
    return run_id, job_id


def _invalid(fields: Mapping[str, str], text: str) -> NotAccepted:
    """A refusal that is told to the server, unless the message is about a run that goes on."""
    about_a_start = fields.get("action", "") in ("", shovey.START)
    return NotAccepted(text, fields["run_id"] if about_a_start else None, text)


def _timeout(fields: Mapping[str, str]) -> Optional[int]:
    text = fields.get("timeout", "")
    if not text:
        return None
    what = f'strconv.Atoi: parsing "{text}": '
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise _invalid(fields, what + "invalid syntax")
    if len(text) > 19 or not -(2**63) <= int(text) < 2**63:
        raise _invalid(fields, what + "value out of range")
    return int(text)


def _signed(fields: Mapping[str, str], public_key: Tuple[int, int], need_256: bool) -> bool:
    """As ``_verify``, and never to be reported: anybody in the cluster may have sent it."""
    try:
        return _verify(fields, public_key, need_256)
    except NotAccepted as error:
        raise NotAccepted(str(error)) from None


def _verify(fields: Mapping[str, str], public_key: Tuple[int, int], need_256: bool) -> bool:
    try:
        return shovey.verify(fields, public_key, need_256)
    except NotVerified as error:
        run_id, command = fields["run_id"], fields.get("command", "")
        text = f"Command id {run_id} running '{command}' could not be verified! {error.reason}"
        raise _invalid(fields, text) from None


def _check_time(fields: Mapping[str, str], wall: float, slew: float) -> None:
    try:
        away = abs(wall - shovey.parse_time(fields.get("time", "")))
    except RemoteError as error:
        raise _invalid(fields, str(error)) from None
    if away > REPORTED_WITHIN:
        raise NotAccepted(f"the command is {away / 3600:.0f} hours away from our clock")
    if away > slew:
        raise _invalid(fields, CLOCK)

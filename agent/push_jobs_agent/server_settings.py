"""What a server tells an agent about itself, checked. Pure: nothing is fetched or decrypted here.

The raw answer comes from the network: every mistake in it is named at once, so that an operator
sees what is wrong with that server. Source: pushy-protocol 2.3.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional

from push_jobs_wire.errors import RemoteError

ADDRESS = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
SESSION_KEY_SIZE = 32
CURVE_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
"""Forty characters of Z85."""

MODULUS_BITS = range(2048, 8193)
"""A larger key would cost seconds for each heartbeat."""


class AnswerError(RemoteError):
    """Raised when the server's settings are incomplete or make no sense."""


@dataclass(frozen=True)
class ServerSettings:
    """Everything a session needs to know of its server.

    Times are seconds, sizes bytes. ``curve_key`` is None for a server without encryption;
    ``extensions`` is 0 for an old server.
    """

    command_addr: str
    heartbeat_addr: str
    interval: float
    offline_threshold: int
    online_threshold: int
    modulus: int
    exponent: int
    session_key: bytes = field(repr=False)
    curve_key: Optional[str]
    lifetime: float
    max_message_skew: float
    max_body_size: int
    incarnation_id: Optional[str]
    extensions: int = 0


def to_json(settings: ServerSettings) -> Dict[str, Any]:
    """The settings as plain values, for the way from one process to the next."""
    return dict(asdict(settings), session_key=settings.session_key.hex())


def from_json(fields: Mapping[str, Any]) -> ServerSettings:
    """The reverse of ``to_json``."""
    return ServerSettings(**dict(fields, session_key=bytes.fromhex(fields["session_key"])))


def check_answer(answer: Any, org: str, node: str) -> None:
    """Raise AnswerError naming everything that is missing or makes no sense in a raw answer."""
    if not isinstance(answer, dict):
        raise AnswerError("the server's settings are no JSON object")
    problems: List[str] = []
    for path, (fits, expected) in _EXPECTED.items():
        value = _dig(answer, path)
        if not fits(value):
            problems.append(f"{path} is {_show(value)}, expected {expected}")
    for path, own in (("organization", org), ("node", node)):
        if _dig(answer, path) not in (None, own):
            problems.append(f"{path} is {_show(_dig(answer, path))}, expected {own!r}")
    if problems:
        raise AnswerError("the server's settings are not usable: " + "; ".join(problems))


def read_answer(
    answer: Mapping[str, Any], modulus: int, exponent: int, session_key: bytes
) -> ServerSettings:
    """The settings in a checked answer, with its public key and session key as read from it."""
    if modulus.bit_length() not in MODULUS_BITS or exponent % 2 == 0:
        raise AnswerError(f"the server's public key has {modulus.bit_length()} bits, not usable")
    if len(session_key) != SESSION_KEY_SIZE:
        raise AnswerError(
            f"the session key has {len(session_key)} bytes, expected {SESSION_KEY_SIZE}"
        )
    beats = answer["push_jobs"]["heartbeat"]
    return ServerSettings(
        command_addr=beats["command_addr"],
        heartbeat_addr=beats["out_addr"],
        interval=float(beats["interval"]),
        offline_threshold=beats["offline_threshold"],
        online_threshold=beats["online_threshold"],
        modulus=modulus,
        exponent=exponent,
        session_key=session_key,
        curve_key=answer.get("curve_public_key"),
        lifetime=float(answer["lifetime"]),
        max_message_skew=float(answer["max_message_skew"]),
        max_body_size=answer["max_body_size"],
        incarnation_id=answer.get("incarnation_id"),
        extensions=answer.get("extensions") or 0,
    )


def _dig(answer: Any, path: str) -> Any:
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def _show(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 65536


def _address(value: Any) -> bool:
    return isinstance(value, str) and ADDRESS.fullmatch(value) is not None


def _curve(value: Any) -> bool:
    return value is None or (isinstance(value, str) and CURVE_KEY.fullmatch(value) is not None)


def _identifier(value: Any) -> bool:
    return value is None or (isinstance(value, str) and 0 < len(value) <= 128)


_EXPECTED = {
    "push_jobs.heartbeat.out_addr": (_address, "tcp://HOST:PORT"),
    "push_jobs.heartbeat.command_addr": (_address, "tcp://HOST:PORT"),
    "push_jobs.heartbeat.interval": (_number(0.05, 3600), "0.05 to 3600 seconds"),
    "push_jobs.heartbeat.offline_threshold": (_whole(1, 1000), "1 to 1000"),
    "push_jobs.heartbeat.online_threshold": (_whole(0, 1000), "0 to 1000"),
    "public_key": (_text, "a PEM public key"),
    "curve_public_key": (_curve, "40 characters of Z85 or nothing"),
    "encoded_session_key.method": (lambda v: v == "hmac_sha256", "'hmac_sha256'"),
    "encoded_session_key.key": (_text, "base64 text"),
    "lifetime": (_number(1, 10**7), "1 second or more"),
    "max_message_skew": (_number(1, 10**6), "1 second or more"),
    "max_body_size": (_whole(4096, 2**31), "4096 bytes or more"),
    "incarnation_id": (_identifier, "a short text or nothing"),
    "extensions": (
        lambda v: v is None or _whole(0, 1000)(v),
        "a small number or nothing",
    ),
}

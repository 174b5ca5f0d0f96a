"""Lets in only what the server itself said, just now and for the first time. Pure.

Commands must be signed with the session key (HMAC), broadcast heartbeats with the server's RSA
key: each channel takes its own method and no other, although the old client takes both on either.
Timestamps count both ways, and a message whose bytes were seen before is refused while its
timestamp would still pass, so a captured `run` cannot run twice. Source: pushy-protocol 4, 9.1 Q10.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Dict, Sequence

from push_jobs_agent.server_settings import ServerSettings
from push_jobs_wire import framing, messages
from push_jobs_wire.errors import RemoteError

MAX_COMMAND = 1024 * 1024
"""Largest command in bytes: a commit may carry a file of 134 kB and an environment."""

MAX_BROADCAST = 8192
REMEMBERED = 4096
"""So many digests at most. Only who holds the session key could push one out."""

ONCE_ONLY = (messages.Commit, messages.Run, messages.Abort)


class Replays:
    """Remembers fingerprints of messages for as long as their timestamps would pass."""

    def __init__(self) -> None:
        self._until: "OrderedDict[bytes, float]" = OrderedDict()

    def check(self, body: bytes, wall: float, skew: float) -> None:
        """Raise RemoteError when ``body`` was seen before, else remember it."""
        while self._until and (
            len(self._until) > REMEMBERED or next(iter(self._until.values())) < wall
        ):
            self._until.popitem(last=False)
        digest = framing.digest(body)
        if digest in self._until:
            raise RemoteError("the message was received before")
        self._until[digest] = wall + 2 * skew


class Guard:
    """Checks frames against the settings of one server; what was seen is kept when they change."""

    def __init__(self) -> None:
        self._settings: ServerSettings
        self._replays = Replays()

    def trust(self, settings: ServerSettings) -> None:
        """From now on accept what carries the signatures of this server."""
        self._settings = settings

    def command(self, frames: Sequence[bytes], wall: float) -> messages.ServerMessage:
        """What a message on the command channel says; RemoteError when it is not acceptable."""
        header, body = _two(frames, MAX_COMMAND)
        framing.check_hmac(self._settings.session_key, framing.parse_header(header), body)
        message = messages.decode_server(self._read(body, wall))
        if isinstance(message, ONCE_ONLY):
            self._replays.check(body, wall, self._settings.max_message_skew)
        return message

    def broadcast(self, frames: Sequence[bytes], wall: float) -> messages.ServerHeartbeat:
        """The server's heartbeat. Raises RemoteError when it is none, or is not acceptable."""
        header, body = _two(frames, MAX_BROADCAST)
        key = self._settings
        framing.check_rsa(key.modulus, key.exponent, framing.parse_header(header), body)
        message = messages.decode_server(self._read(body, wall))
        if not isinstance(message, messages.ServerHeartbeat):
            raise RemoteError("broadcast that is no heartbeat")
        self._replays.check(body, wall, key.max_message_skew)
        return message

    def _read(self, body: bytes, wall: float) -> Dict[str, Any]:
        fields = messages.load(body)
        framing.check_timestamp(fields.get("timestamp"), wall, self._settings.max_message_skew)
        return fields


def _two(frames: Sequence[bytes], limit: int) -> Sequence[bytes]:
    if len(frames) != 2:
        raise RemoteError(f"message of {len(frames)} frames, expected 2")
    if len(frames[1]) > limit:
        raise RemoteError(f"body of {len(frames[1])} bytes, at most {limit} are allowed")
    return frames

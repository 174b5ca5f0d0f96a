"""Frames of nodes, verified before anything else happens to them.

A frame is accepted when its connection was granted to the node that its body names, when it is
signed with that node's session key and when it is fresh. Everything else is dropped and counted by
reason; nothing that a peer sends can raise (pushy-protocol 4, architecture: identity on the wire).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Callable
from typing import Counter as CounterType
from typing import Optional, Sequence

from push_jobs_server.engine.access import Access
from push_jobs_server.engine.node import NodeKey
from push_jobs_wire import framing, messages
from push_jobs_wire.errors import RemoteError
from push_jobs_wire.messages import NodeMessage, Origin


@dataclass(frozen=True)
class Accepted:
    """A verified message; ``digest`` recognises it when it is sent again."""

    origin: Origin
    message: NodeMessage
    digest: bytes

    @property
    def key(self) -> NodeKey:
        """The node that sent it."""
        return (self.origin.org, self.origin.node)


class Refused(Exception):
    """Raised inside this module when a frame is dropped and counted under ``reason``.

    ``node`` is whom it concerns, as far as that can be told.
    """

    def __init__(
        self, reason: str, detail: str, node: Optional[NodeKey], offset: Optional[float] = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.node = node
        self.offset = offset


Dropped = Callable[[str, str, Optional[NodeKey], Optional[float]], None]
"""Called with reason, detail, the node concerned if it is known, and by how many seconds the clock
of that node is ahead when that is the reason."""


class Inbox:
    """Checks frames and counts what it drops.

    Args:
        access: has the session keys of the nodes.
        max_body: largest body in bytes.
        max_skew: largest difference of clocks in seconds.
        log: called for each dropped message.
    """

    def __init__(
        self,
        access: Access,
        max_body: int,
        max_skew: float,
        log: Dropped,
    ) -> None:
        self._access = access
        self._max_body = max_body
        self._max_skew = max_skew
        self._log = log
        self.dropped: CounterType[str] = Counter()

    def accept(
        self, frames: Sequence[bytes], user_id: Optional[str], wall: float
    ) -> Optional[Accepted]:
        """Verify the frames of one message (without the routing id).

        ``user_id`` is what the ZAP grant of the connection says (``ORG/NODE``), None on a plain
        connection. ``wall`` is the wall clock. Returns None when the message was dropped.
        """
        try:
            return self._accept(frames, user_id, wall)
        except Refused as why:
            self.drop(why.reason, str(why), why.node, why.offset)
        return None

    def drop(
        self,
        reason: str,
        detail: str,
        node: Optional[NodeKey] = None,
        offset: Optional[float] = None,
    ) -> None:
        """Count and log a message that is not used."""
        self.dropped[reason] += 1
        self._log(reason, detail, node, offset)

    def _accept(self, frames: Sequence[bytes], user_id: Optional[str], wall: float) -> Accepted:
        if len(frames) != 2:
            detail = f"{len(frames)} frames instead of 2 from {user_id}"
            raise Refused("malformed", detail, _granted(user_id))
        fields, origin = self._read(frames[1], user_id)
        who = f"{origin.org}/{origin.node}"
        if user_id is not None and user_id != who:
            detail = f"{user_id} sent a message in the name of {who}"
            raise Refused("foreign", detail, _granted(user_id))
        keys = self._access.accepted_keys((origin.org, origin.node))
        if not keys:
            raise Refused("unknown_node", f"{who} never fetched its settings", None)
        self._verify(keys, frames, fields.get("timestamp"), origin, wall)
        digest = framing.digest(frames[1])
        return Accepted(origin, messages.decode_node(fields), digest)

    def _read(self, body: bytes, user_id: Optional[str]) -> "tuple[dict[str, object], Origin]":
        if len(body) > self._max_body:
            detail = f"{len(body)} bytes from {user_id}, at most {self._max_body} are taken"
            raise Refused("too_large", detail, _granted(user_id))
        try:
            fields = messages.load(body)
            return fields, messages.origin_of(fields)
        except RemoteError as error:
            raise Refused("malformed", f"{error}, from {user_id}", _granted(user_id)) from None

    def _verify(
        self,
        keys: Sequence[bytes],
        frames: Sequence[bytes],
        timestamp: object,
        origin: Origin,
        wall: float,
    ) -> None:
        node = (origin.org, origin.node)
        who = "/".join(node)
        try:
            used = _signed_with(keys, frames)
        except RemoteError as error:
            raise Refused("bad_signature", f"{error}, from {who}", node) from None
        try:
            framing.check_timestamp(timestamp, wall, self._max_skew)
        except RemoteError as error:
            offset = _offset(timestamp, wall)
            raise Refused("bad_clock", f"{error}, from {who}", node, offset) from None
        self._access.uses(node, used)


def _signed_with(keys: Sequence[bytes], frames: Sequence[bytes]) -> bytes:
    """The key that signed a message. Raises RemoteError when it is none of these."""
    for key in keys[:-1]:
        try:
            framing.check_hmac_frame(key, frames[0], frames[1])
            return key
        except RemoteError:
            pass  # there is another key to try
    framing.check_hmac_frame(keys[-1], frames[0], frames[1])
    return keys[-1]


def _granted(user_id: Optional[str]) -> Optional[NodeKey]:
    """The node that a connection belongs to."""
    org, _, node = (user_id or "").partition("/")
    return (org, node) if node else None


def _offset(timestamp: object, wall: float) -> Optional[float]:
    try:
        return framing.parse_timestamp(str(timestamp)) - wall
    except RemoteError:
        return None

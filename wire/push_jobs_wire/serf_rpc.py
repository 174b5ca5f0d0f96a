"""Serf's agent RPC as bytes in and records out. No socket, no clock, no thread.

A connection is a plain sequence of MessagePack objects in both directions, without lengths between
them: a header, and a body where the command has one. Source: shovey 3.1 to 3.3.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional

import msgpack

from push_jobs_wire.errors import RemoteError

VERSION = 1
"""The one version of the RPC that there is."""

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of one record at most; the list of 10,000 members takes 2 MiB."""

ANSWERED_WITH_BODY: FrozenSet[str] = frozenset(
    {
        "members",
        "members-filtered",
        "join",
        "stats",
        "get-coordinate",
        "install-key",
        "use-key",
        "remove-key",
        "list-keys",
    }
)
"""Commands whose answer has a body, also when it tells of an error."""

_RECORDS: FrozenSet[str] = frozenset({"stream", "monitor", "query"})
"""Commands after whose answer records with the same number follow."""

_REFUSED_BEFORE = ("Handshake required", "Authentication required")
"""Errors that are told before a command is looked at: no body follows."""


class Record(NamedTuple):
    """An answer or a record of the agent: which request it belongs to, its error, its body.

    ``first`` is True for the answer itself, False for the records that follow it.
    """

    seq: int
    command: str
    error: str
    body: Optional[Mapping[str, Any]]
    first: bool


def encode(command: str, seq: int, body: Optional[Mapping[str, Any]] = None) -> bytes:
    """The bytes of one request (shovey 3.1); byte fields of ``body`` are given as bytes."""
    header: bytes = msgpack.packb({"Command": command, "Seq": seq}, use_bin_type=True)
    return header if body is None else header + bytes(msgpack.packb(body, use_bin_type=True))


def payload_of(value: Any) -> bytes:
    """A byte field as bytes: agents send bin, older ones str, and nil when it is empty."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else b""


class Reader:
    """The objects that an agent sends, put together with the requests that they answer.

    Requests have to be made known with ``expect`` before their answer arrives.
    """

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="surrogateescape",
            strict_map_key=False,
            max_buffer_size=MAX_FRAME,
        )
        self._commands: Dict[int, str] = {}
        self._answered: Dict[int, str] = {}
        self._header: Optional[Mapping[str, Any]] = None

    def expect(self, command: str, seq: int) -> None:
        """A request is on its way."""
        self._commands[seq] = command

    @property
    def due(self) -> Optional[int]:
        """The number of the first request whose answer has not come, if there is any."""
        return next(iter(self._commands), None)

    def feed(self, data: bytes) -> List[Record]:
        """The records that are complete with these bytes.

        Raises RemoteError when they are no MessagePack, or nothing that an agent would say.
        """
        records: List[Record] = []
        try:
            self._unpacker.feed(data)
            for item in self._unpacker:
                record = self._take(item)
                if record is not None:
                    records.append(record)
        except RemoteError:
            raise
        except Exception as error:  # the library raises whatever its parts raise
            raise RemoteError(f"the Serf agent sent what is no MessagePack: {error}") from None
        return records

    def _take(self, item: Any) -> Optional[Record]:
        if not isinstance(item, dict):
            raise RemoteError(f"the Serf agent sent {type(item).__name__}, expected a map")
        if self._header is not None:
            header, self._header = self._header, None
            return self._record(header, item)
        if not isinstance(item.get("Seq"), int) or not isinstance(item.get("Error"), str):
            raise RemoteError("the Serf agent sent a header without Seq and Error")
        if self._is_echo(item):
            return None
        if self._has_body(item):
            self._header = item
            return None
        return self._record(item, None)

    def _is_echo(self, header: Mapping[str, Any]) -> bool:
        """True for the second refusal of one command: its body was taken for a header (3.2)."""
        known = header["Seq"] in self._commands or header["Seq"] in self._answered
        return not known and header["Error"] in _REFUSED_BEFORE

    def _has_body(self, header: Mapping[str, Any]) -> bool:
        seq, error = header["Seq"], header["Error"]
        if seq in self._commands:
            return self._commands[seq] in ANSWERED_WITH_BODY and error not in _REFUSED_BEFORE
        if seq not in self._answered:
            raise RemoteError(f"the Serf agent answered a request {seq} that nobody made")
        return not error

    def _record(self, header: Mapping[str, Any], body: Optional[Mapping[str, Any]]) -> Record:
        seq, error = header["Seq"], header["Error"]
        first = seq in self._commands
        if first:
            command = self._commands.pop(seq)
            if command in _RECORDS and not error:
                self._answered[seq] = command
        else:
            command = self._answered[seq]
            if command == "query" and body is not None and body.get("Type") == "done":
                del self._answered[seq]
        return Record(seq, command, error, body, first)

"""Bodies of the Shovey routes, read and checked. Pure. Sources: shovey 2.1, 2.3, 2.5 to 2.7, 7."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, List, Mapping, Optional, Tuple

from push_jobs_server.api.job_body import check_texts
from push_jobs_server.api.services import Failure
from push_jobs_server.serf_records import RunReport
from push_jobs_wire.messages import STREAMS

DEFAULT_TIMEOUT = 300
"""Seconds."""
_LONGEST_TIMEOUT = 2**31 - 1
_LARGEST_SEQ = 2**53
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]*)?)%")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SPECIAL = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)


@dataclass(frozen=True)
class StartBody:
    """A job as it was asked for; nodes that came twice count once."""

    command: str
    nodes: Tuple[str, ...]
    quorum: int
    run_timeout: int


@dataclass(frozen=True)
class ChunkBody:
    """A piece of output."""

    stream: str
    seq: int
    is_last: bool
    data: bytes


def inflated(environ: Mapping[str, Any], body: bytes, limit: int) -> bytes:
    """The body without its gzip coding, at most ``limit`` bytes. Raises Failure 400 or 413."""
    if str(environ.get("HTTP_CONTENT_ENCODING", "")).lower() != "gzip":
        return body
    reader = zlib.decompressobj(wbits=31)
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error:
        raise Failure(400, "gzip: invalid header") from None
    if len(plain) > limit:
        raise Failure(413, "Content-length too long!")
    return plain


def read_object(body: bytes) -> Dict[str, Any]:
    """The JSON object of a body; what follows it is not looked at. Raises Failure 400."""
    if not body.strip():
        raise Failure(400, "EOF")
    try:
        text = body.decode("utf-8", "replace").lstrip()
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise Failure(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Failure(400, "the body is JSON, but no object")
    run_list = value.get("run_list", [])
    if not isinstance(run_list, list) or not all(isinstance(each, str) for each in run_list):
        raise Failure(400, "Field 'run_list' is not a valid run list")
    return value


def read_start(body: bytes) -> StartBody:
    """The body of POST jobs (2.3). Raises Failure 400."""
    fields = read_object(body)
    nodes = _names(fields.get("nodes"), "node list not an array")
    if not nodes:
        raise Failure(400, "no nodes provided")
    command = fields.get("command")
    if not isinstance(command, str):
        raise Failure(400, "command not a string")
    check_texts([command, *nodes, "", ""])
    unique = tuple(dict.fromkeys(nodes))
    quorum = _quorum(fields.get("quorum"), len(nodes), len(unique))
    return StartBody(command, unique, quorum, _timeout(fields.get("run_timeout")))


def _quorum(quorum: Any, given: int, different: int) -> int:
    """A share is one of the different nodes; a number counts names as given, but no more than are
    there."""
    if isinstance(quorum, str) and _PERCENT.fullmatch(quorum):
        return read_quorum(quorum, different)
    return min(read_quorum(quorum, given), different)


def read_quorum(quorum: Any, nodes: int) -> int:
    """How many of so many nodes are needed: a percentage or a number, as text or as JSON number.

    Anything else means all of them; exact arithmetic. Raises Failure 400 for a text or number that
    means nothing, is below 0 or above the number of nodes.
    """
    if isinstance(quorum, bool) or not isinstance(quorum, (str, int, float)):
        return nodes
    text = quorum if isinstance(quorum, str) else repr(quorum)
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        share = Fraction(percent.group(1).rstrip(".")) / 100 * nodes
        return -(-share.numerator // share.denominator)
    if _NUMBER.fullmatch(text) is None and _SPECIAL.fullmatch(text) is None:
        raise Failure(400, f"quorum {text[:60]!r} is neither a number nor a percentage")
    if _NUMBER.fullmatch(text) is None or Fraction(text) < 0:
        raise Failure(400, f"quorum {text[:60]!r} is no number of nodes")
    needed = Fraction(text)
    if needed > nodes:
        words = f"{float(needed) if needed < 10**9 else 10**9:.6f} nodes were required for the "
        raise Failure(400, words + f"quorum, but only {nodes} matched the criteria given")
    return int(needed)


def read_cancel(body: bytes) -> Tuple[str, List[str]]:
    """The run and the nodes (none: all) of a cancel (2.6). Raises Failure 400."""
    fields = read_object(body)
    run_id, nodes = fields.get("run_id"), fields.get("nodes")
    if not isinstance(run_id, str):
        raise Failure(400, "No shovey run ID provided, or provided id was invalid")
    return run_id, _names(nodes, "") if isinstance(nodes, list) else []


def read_report(body: bytes, job_id: str, node: str, itself: bool) -> RunReport:
    """What a node says of its part; members that are missing or of a wrong type say nothing.

    ``itself``: the node has signed this.
    """
    fields = read_object(body)
    word, error = fields.get("status"), fields.get("error")
    status: Any = fields.get("exit_status")
    seconds: Any = fields.get("seconds")  # extension: nodes of ours tell a short run at once
    return RunReport(
        job_id,
        node,
        _storable(word) if isinstance(word, str) else None,
        _storable(error) if isinstance(error, str) else None,
        int(status) & 255 if _is_number(status) and _is_whole(status) else None,
        _is_number(fields.get("extensions")) if itself else None,
        float(seconds) if _is_number(seconds) and 0 <= seconds < _LONGEST_TIMEOUT else None,
    )


def read_last_chunks(body: bytes) -> List[ChunkBody]:
    """Extension: the pieces of output that come with a report. Raises Failure 400."""
    pieces = read_object(body).get("chunks", [])
    if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
        raise Failure(400, "invalid chunks")
    chunks = [_chunk(piece) for piece in pieces]
    if len({chunk.stream for chunk in chunks}) != len(chunks):
        raise Failure(400, "invalid chunks: a report has one of each output type at most")
    return chunks


def read_chunk(body: bytes) -> ChunkBody:
    """A piece of output (2.7). Raises Failure 400."""
    return _chunk(read_object(body))


def _chunk(fields: Mapping[str, Any]) -> ChunkBody:
    output, stream = fields.get("output"), fields.get("output_type")
    is_last: Any = fields.get("is_last")
    seq: Any = fields.get("seq")
    if not isinstance(output, str):
        raise Failure(400, "invalid output")
    if stream not in STREAMS:
        raise Failure(400, "invalid output type")
    if not isinstance(is_last, bool):
        raise Failure(400, "invalid is_last")
    if not _is_number(seq):
        raise Failure(400, "invalid seq")
    number = int(seq) if _is_whole(seq) else 0
    if abs(number) > _LARGEST_SEQ:
        raise Failure(400, "invalid seq")
    return ChunkBody(str(stream), number, is_last, output.encode("utf-8", "replace"))


def _names(value: Any, otherwise: str) -> List[str]:
    if not isinstance(value, list):
        raise Failure(400, otherwise)
    if not all(isinstance(name, str) for name in value):
        raise Failure(400, "a node's name is not a string")
    return value


def _timeout(value: Any) -> int:
    """Seconds; what is no number means the default, and a number has to make sense."""
    if not _is_number(value):
        return DEFAULT_TIMEOUT
    if not _is_whole(value) or not 1 <= value <= _LONGEST_TIMEOUT:
        text = f"run_timeout is {value!r}, expected whole seconds from 1 to {_LONGEST_TIMEOUT}"
        raise Failure(400, text)
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or (value == value and abs(value) < 1e300 and value == int(value))


def _storable(text: str) -> Optional[str]:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")

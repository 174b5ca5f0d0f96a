"""Output in numbered pieces, taken and shown the Shovey way (shovey 2.7)."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, List, Sequence, Tuple
from urllib.parse import parse_qs

from push_jobs_server.api.services import Failure, Services
from push_jobs_server.api.shovey_asked import Asked
from push_jobs_server.api.shovey_body import read_chunk
from push_jobs_server.api.shovey_documents import run_word
from push_jobs_server.api.shovey_pieces import ShoveyPieces
from push_jobs_server.api.shovey_runs import ask_stored, check_reporter, find_run, find_serf_run
from push_jobs_server.records import Busy, JobRecord
from push_jobs_server.serf_records import SerfChunk
from push_jobs_server.store.serf_reads import SerfReads
from push_jobs_wire.messages import STREAMS
from push_jobs_wire.shovey_words import NO_OUTPUT
from push_jobs_wire.states import NodeStatus

TYPES = ("stdout", "stderr", "both")
LAST_WORDS = 30.0
"""Seconds after the end of a run in which its last piece may come (5.6: some never do)."""
LONGEST_WAIT = 60.0
LOOK_AGAIN = 0.1
"""Seconds between two looks for the last pieces of a job that has ended."""


class ShoveyOutput:
    """``shovey/stream/ID/NODE``.

    Args:
        org: the organization whose jobs these are.
        pieces: finds the place of each piece.
    """

    def __init__(self, services: Services, org: str, pieces: ShoveyPieces) -> None:
        self._services = services
        self._org = org
        self._reads = SerfReads(services.store)
        self._pieces = pieces
        # Feeds have threads of their own; who waits without one leaves half of the others free.
        self._places = threading.Semaphore(int(services.settings["http.threads"]) // 2)

    # Pieces that come

    def take(self, asked: "Asked", run_id: str, node: str) -> Dict[str, str]:
        """Store a piece of output; the same number again is refused with 409."""
        check_reporter(self._org, asked.caller, node)
        job_id = find_serf_run(self._services, self._reads, self._org, run_id, node)
        body = read_chunk(asked.body)
        with self._pieces.of(job_id, node):
            chunks = self._pieces.placed(job_id, node, body)
            if not chunks:
                text = f"sequence {body.seq} for {run_id} - {node} already exists"
                raise Failure(409, text)
            ask_stored(self._services, lambda engine, answer: engine.serf.chunks(chunks, answer))
        return {"response": "ok"}

    # Readers

    def show(self, environ: Dict[str, Any], run_id: str, node: str) -> Dict[str, Any]:
        """The pieces from ``?sequence=`` on; with ``?wait=SECONDS`` only once there are any."""
        query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
        seq = _integer(query.get("sequence", ["0"])[0])
        kind = query.get("output_type", ["stdout"])[0]
        if kind not in TYPES:
            raise Failure(400, "output type must be 'stdout', 'stderr', or 'both'")
        wait = _seconds(query.get("wait", ["0"])[0])
        job = find_run(self._services, self._org, run_id, node)
        found, is_last = self._look(job, node, kind, seq)
        if wait and not found and not is_last:
            found, is_last = self._wait(job, node, kind, seq, wait)
        return _document(run_id, node, kind, found, is_last)

    def _wait(
        self, job: JobRecord, node: str, kind: str, seq: int, wait: float
    ) -> Tuple[Sequence[SerfChunk], bool]:
        """Look again whenever the job has more output; at once when too many wait already."""
        until = time.monotonic() + wait
        try:
            reader = self._services.feeds.open_output(self._org, job.id)
        except Busy:
            return self._look(self._again(job), node, kind, seq)
        if reader is None and not self._places.acquire(blocking=False):
            return self._look(self._again(job), node, kind, seq)
        try:
            while True:
                found, is_last = self._look(self._again(job), node, kind, seq)
                left = until - time.monotonic()
                if found or is_last or left <= 0 or self._services.feeds.closed:
                    return found, is_last
                if reader is None or reader.take(min(left, 1.0)) is None:
                    # The job has ended, so nobody rings; the last pieces may still come (5.4).
                    time.sleep(min(left, LOOK_AGAIN))
        finally:
            if reader is None:
                self._places.release()
            else:
                reader.close()

    def _again(self, job: JobRecord) -> JobRecord:
        return self._services.store.job(self._org, job.id) or job

    def _look(
        self, job: JobRecord, node: str, kind: str, seq: int
    ) -> Tuple[Sequence[SerfChunk], bool]:
        """The pieces that can be shown now, and whether they are the last."""
        run = self._reads.runs(job.id).get(node)
        if run is None:
            return self._of_pushy(job, node, kind, seq)
        ended = job.nodes[node].status.final
        if kind == "both":
            found = self._reads.arrivals(job.id, node, seq)
            last = self._both_ended(job.id, node)
        else:
            found = self._reads.chunks(job.id, node, kind, seq)
            found = found if ended else _without_gaps(found, seq)
            last = bool(found) and found[-1].is_last
        return found, last or self._no_more(job, node, run_word(job.nodes[node], run))

    def _both_ended(self, job_id: str, node: str) -> bool:
        chunks = self._reads.arrivals(job_id, node, 0)
        return len({chunk.stream for chunk in chunks if chunk.is_last}) == 2

    def _no_more(self, job: JobRecord, node: str, word: str) -> bool:
        """No last piece will come, or has not come for so long that it never will."""
        part = job.nodes[node]
        if word in NO_OUTPUT:
            return True
        if not part.status.final:
            return False
        if part.status is NodeStatus.ABORTED and part.outcome.started_at is None:
            return True
        ended = part.outcome.ended_at or job.updated_at
        return self._services.clock() >= ended + LAST_WORDS

    def _of_pushy(
        self, job: JobRecord, node: str, kind: str, seq: int
    ) -> Tuple[Sequence[SerfChunk], bool]:
        """A node that does not come over Serf: its output is one piece, once it has ended."""
        if not job.nodes[node].status.final or seq > 0:
            return [], job.nodes[node].status.final
        streams = STREAMS if kind == "both" else (kind,)
        limit = int(self._services.settings["max_output"])
        texts = [
            self._services.store.output(self._org, job.id, node, stream, limit) or b""
            for stream in streams
        ]
        return [_whole(job.id, node, kind, b"".join(texts))], True


def _whole(job_id: str, node: str, kind: str, data: bytes) -> SerfChunk:
    return SerfChunk(job_id, node, kind, 0, 0, True, 0, len(data), data)


def _without_gaps(chunks: List[SerfChunk], seq: int) -> List[SerfChunk]:
    return [chunk for place, chunk in enumerate(chunks) if chunk.seq == seq + place]


def _document(
    run_id: str, node: str, kind: str, found: Sequence[SerfChunk], is_last: bool
) -> Dict[str, Any]:
    document: Dict[str, Any] = {
        "is_last": is_last,
        "node_name": node,
        "output": b"".join(chunk.data for chunk in found).decode("utf-8", "replace"),
        "output_type": kind,
        "run_id": run_id,
    }
    if found:
        document["last_seq"] = found[-1].arrival if kind == "both" else found[-1].seq
    return document


def _integer(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 18:
        raise Failure(400, f'strconv.Atoi: parsing "{text[:60]}": invalid syntax')
    return int(text)


def _seconds(text: str) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= LONGEST_WAIT:
        raise Failure(400, f"wait is {text[:60]!r}, expected 0 to {LONGEST_WAIT:.0f} seconds")
    return wait

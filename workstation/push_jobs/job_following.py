"""The part of the client that waits for jobs and follows them: by feeds, else by looking again.

Nothing here prints, and text from elsewhere is returned as it came.
"""

from __future__ import annotations

import time
from typing import Callable, Iterator, Optional, Sequence
from urllib.parse import quote

from push_jobs.connection import EVENTS, Connection
from push_jobs.errors import ApiError, BadAnswer, ServerUnreachable
from push_jobs.event_stream import JobEvent
from push_jobs.following import Follower, News, Pieces
from push_jobs.live_output import OutputFollower, OutputPiece
from push_jobs.models import Job
from push_jobs.names import segment
from push_jobs.patience import OnTrouble, Patience
from push_jobs_wire.messages import STREAMS

PATIENCE = 60.0
"""Seconds for which a server may be away while one of its jobs is watched, as during a restart."""


class JobFollowing:
    """What a client can do with a job besides looking at it once."""

    _connection: Connection

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Return the job; see ``Client``."""
        raise NotImplementedError

    def output(self, job_id: str, node: str, stream: str = "stdout") -> Optional[bytes]:
        """Return the output of a node; see ``Client``."""
        raise NotImplementedError

    def wait(
        self,
        job_id: str,
        on_change: Optional[Callable[[Job], None]] = None,
        timeout: Optional[float] = None,
    ) -> Job:
        """Return the job when it has ended; ``on_change`` is called with each state that differs.

        ``timeout`` is in seconds; when it is over, WaitTimeout is raised and the job goes on.

            >>> client.wait(job_id, lambda job: print(job.status), timeout=300)   # doctest: +SKIP
        """
        last: Optional[Job] = None
        for job in self.watch(job_id, timeout=timeout):
            if job != last and on_change is not None:
                on_change(job)
            last = job
        assert last is not None
        return last

    def watch(
        self,
        job_id: str,
        *,
        timeout: Optional[float] = None,
        on_trouble: OnTrouble = None,
    ) -> Iterator[Job]:
        """Yield the job after each look at it, for the last time when it has ended.

        It is looked at when its event feed has news, or again and again when there is no feed. A
        server that is away is tried again for PATIENCE seconds; ``on_trouble`` is called each time.
        """
        news = News(lambda: self._open_feed(job_id, None))
        try:
            yield from self._watch(job_id, timeout, on_trouble, news)
        finally:
            news.close()

    def _watch(
        self,
        job_id: str,
        timeout: Optional[float],
        on_trouble: OnTrouble,
        news: News,
    ) -> Iterator[Job]:
        deadline = None if timeout is None else time.monotonic() + timeout
        patience = Patience(PATIENCE, on_trouble)
        for pause in pauses():
            try:
                job = self.job(job_id)
            except (ServerUnreachable, ApiError) as error:
                patience.bear(error)
            else:
                patience.answered()
                yield job
                if job.ended:
                    return
                news.expect()
            news.wait(pause, deadline, job_id)

    def follow(
        self,
        job_id: str,
        *,
        on_trouble: OnTrouble = None,
    ) -> Iterator[JobEvent]:
        """Yield what happens to a job, from its beginning to its end, as it happens.

        A feed that breaks is read on where it was. Where the server has no feed, or no place for
        one more reader (503), events are concluded from the job's state instead, with an empty
        ``id``. The last event is ``job_complete``, or ``summary`` when the end is a while ago.
        ``on_trouble`` as for ``watch``. Raises UnknownJob. (pushy-api 4.8)

            >>> for event in client.follow(job_id):   # doctest: +SKIP
            ...     print(event.name, event.node, event.status)
        """
        follower = Follower(
            lambda last_id: self._open_feed(job_id, last_id),
            lambda: self.watch(job_id, on_trouble=on_trouble),
            PATIENCE,
            on_trouble,
        )
        return follower.events()

    def follow_output(
        self,
        job_id: str,
        nodes: Sequence[str] = (),
        *,
        on_trouble: OnTrouble = None,
    ) -> Iterator[OutputPiece]:
        """Yield what ``nodes``, or all nodes, print, as they print it, to the end of the job.

        It begins with what was printed before. A feed that breaks is read on where it was; where
        the server has none, or no place for one more reader, the output comes at the end of the
        job. ``on_trouble`` as for ``watch``. Raises UnknownJob.

            >>> for piece in client.follow_output(job_id):   # doctest: +SKIP
            ...     print(piece.node, piece.data)
        """
        job = self.job(job_id)
        query = "&".join(f"node={quote(name, safe='')}" for name in nodes)
        path = f"/pushy/v1/jobs/{segment(job_id)}/output_feed" + (f"?{query}" if query else "")
        follower = OutputFollower(
            lambda: self._connection.stream(path, EVENTS, {}), PATIENCE, on_trouble
        )
        try:
            yield from follower.pieces()
        except (ApiError, BadAnswer):
            for job in self.watch(job_id, on_trouble=on_trouble):
                pass
            yield from self._all_output(job, nodes, follower)

    def _all_output(
        self, job: Job, nodes: Sequence[str], follower: OutputFollower
    ) -> Iterator[OutputPiece]:
        """What was not seen of the output of a job that has ended."""
        for node in nodes or [each.name for each in job.nodes]:
            for stream in STREAMS:
                content = self.output(job.id, node, stream)
                piece = follower.fresh(OutputPiece(node, stream, 0, content or b""))
                if piece is not None:
                    yield piece

    def _open_feed(self, job_id: str, last_id: Optional[str]) -> Pieces:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        path = f"/pushy/job_status_feed/{segment(job_id)}"
        return self._connection.stream(path, EVENTS, headers)


def pauses() -> Iterator[float]:
    """Yield how many seconds to wait between polls: 20 ms at first, 1 s in the end."""
    pause = 0.02
    while True:
        yield pause
        pause = min(pause * 1.3, 1.0)

"""A client for scripts: start jobs, wait for them, read results and output.

    from push_jobs import Client

    with Client("https://push.example.com:10003/organizations/acme", "alice", "alice.pem",
                fingerprint="9f:86:d0:...") as client:
        job = client.wait(client.start_job("chef-client", ["web1", "web2"], quorum="50%"))
        for node in job.nodes:
            print(node.name, node.status.value, node.exit_code)

Whatever goes wrong is a ``push_jobs.errors.PushJobsClientError``. Nothing here prints, and text
from elsewhere (names, reasons, output) is returned as it came: see ``push_jobs.terminal``.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Callable, List, Mapping, Optional, Sequence, Type, Union

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs.address import parse_server
from push_jobs.client_nodes import NodeQueries
from push_jobs.connection import BYTES, Connection, check_ca
from push_jobs.credentials import parse_key, read_key
from push_jobs.errors import AmbiguousId, ApiError, PushJobsClientError, UnknownJob, UsageError
from push_jobs.job_following import JobFollowing
from push_jobs.job_query import LARGEST_PAGE, JobQuery, Statuses
from push_jobs.job_request import JobOptions, encode_cancel, encode_job
from push_jobs.models import Cancellation, Identity, Job, JobSummary
from push_jobs.names import FULL_ID, job_id_of, segment, several
from push_jobs.pinning import normalize_fingerprint
from push_jobs.reading import read_cancellation, read_identity, read_job, read_page, read_uri
from push_jobs.starting import START_PATIENCE, send_start
from push_jobs.terminal import escape_line
from push_jobs_wire.messages import STREAMS

Key = Union[str, "os.PathLike[str]", bytes, RSAPrivateKey]


class Client(JobFollowing, NodeQueries):
    """A connection to one organization of one server. For one thread; close it in the end.

    ``server_url`` is like ``https://HOST:10003/organizations/ORG``. ``key`` is the path of the
    private key of ``user``, or the PEM text itself as bytes. ``ca`` is the path of the server's CA
    certificate; instead of it ``fingerprint`` may be the SHA-256 fingerprint of that certificate,
    which is then fetched and checked. With neither, the CAs that come with Python's requests are
    trusted. ``timeout`` is how many seconds connecting, and each silence of the server, may take.
    Raises UsageError for wrong arguments; the network is first used by the methods.

        >>> client = Client("https://push.example.com:10003/organizations/acme", "alice",
        ...                 "~/.chef/alice.pem", ca="/etc/push-jobs/ca.pem")   # doctest: +SKIP
    """

    def __init__(
        self,
        server_url: str,
        user: str,
        key: Key,
        *,
        ca: Union[str, "os.PathLike[str]", None] = None,
        fingerprint: Optional[str] = None,
        timeout: float = 30.0,
    ) -> None:
        if ca is not None and fingerprint is not None:
            raise UsageError("give either 'ca' or 'fingerprint', not both")
        ca_path = None if ca is None else Path(ca).expanduser()
        if ca_path is not None:
            check_ca(ca_path)
        self._connection = Connection(
            parse_server(server_url),
            user,
            _key(key),
            ca=ca_path,
            fingerprint=None if fingerprint is None else normalize_fingerprint(fingerprint),
            timeout=timeout,
        )

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def start_job(
        self,
        command: str,
        nodes: Sequence[str],
        *,
        quorum: Union[int, str, None] = None,
        run_timeout: Optional[int] = None,
        capture: bool = False,
        user: Optional[str] = None,
        dir: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        file: Optional[bytes] = None,
        patience: float = START_PATIENCE,
        on_trouble: Optional[Callable[[PushJobsClientError], None]] = None,
    ) -> str:
        """Start ``command``, a name on the nodes' whitelists, on ``nodes``; return the job's id.

        ``quorum`` is how many nodes have to be ready, as a number or text like ``"75%"`` (all by
        default). ``run_timeout`` is in seconds. ``capture`` keeps the output. ``user``, ``dir``,
        ``env`` and ``file`` (content, at most 100,000 bytes) are for the command. (pushy-api 4.3)

        When the answer gets lost or the server is busy, the same request is sent again for
        ``patience`` seconds; that never starts a second job. ``on_trouble`` is called each time.

            >>> client.start_job("restart", ["web1"], run_timeout=60)   # doctest: +SKIP
            '9d6b3f2a1c4e25fd67fa8715fd547d3d'
        """
        options = JobOptions(quorum, run_timeout, capture, user, dir, env, file)
        body = encode_job(command, nodes, options)
        answer = send_start(self._connection, body, patience, on_trouble)
        return job_id_of(read_uri(answer))

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """Return the job with this full id and all its nodes; raises UnknownJob.

        ``wait``: seconds, at most 60, for which the answer may be held back until the job ends.
        """
        path = f"/pushy/v1/jobs/{segment(job_id)}" + (f"?wait={wait:g}" if wait else "")
        try:
            return read_job(self._connection.get_json(path))
        except ApiError as error:
            raise self._unknown(job_id, error) from error

    def _unknown(self, job_id: str, error: ApiError) -> PushJobsClientError:
        """What an error about a job means: 404 is said in other words."""
        if error.status != 404:
            return error
        address = self._connection.address
        return UnknownJob(
            f"there is no job {escape_line(job_id)} in organization "
            f"'{address.organization}' of {address.shown}"
        )

    def cancel(
        self,
        job_id: str,
        nodes: Optional[Sequence[str]] = None,
        *,
        grace: Optional[float] = None,
        reason: Optional[str] = None,
    ) -> Cancellation:
        """Stop a job on ``nodes``, or on all its nodes; return what that means for each.

        A node that runs the command has stopped only when its status says so: see ``wait``.
        ``grace`` is the time in seconds between the polite and the hard end of the command, by
        default the node's own setting. Cancelling again is no error, nor is an ended job. Raises
        UnknownJob, and UsageError for nodes that are not part of the job.

            >>> client.cancel(job_id, ["web1"], grace=5, reason="wrong node")   # doctest: +SKIP
        """
        path = f"/pushy/v1/jobs/{segment(job_id)}/cancel"
        body = encode_cancel(nodes, grace, reason)
        try:
            return read_cancellation(self._connection.post_json(path, body))
        except ApiError as error:
            if error.status == 400:
                raise UsageError("; ".join(map(escape_line, error.messages))) from error
            raise self._unknown(job_id, error) from error

    def jobs(
        self,
        *,
        status: Statuses = None,
        node: Optional[str] = None,
        command: Optional[str] = None,
        requestor: Optional[str] = None,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        limit: Optional[int] = None,
    ) -> List[JobSummary]:
        """Return the jobs of the organization that are asked for, the newest last.

        ``status`` is one status or several; ``node`` took part; ``command`` and ``requestor`` are
        whole names; ``since`` (inclusive) and ``until`` (exclusive) are about the creation and have
        a time zone. Of more than ``limit`` jobs the newest are returned.

            >>> client.jobs(status="crashed", node="web1", limit=20)   # doctest: +SKIP
        """
        if limit is not None and limit < 1:
            raise UsageError(f"the limit is {limit}, expected at least 1")
        return self._find(JobQuery(status, node, command, requestor, since, until), limit)

    def _find(self, query: JobQuery, limit: Optional[int] = None) -> List[JobSummary]:
        """Read page after page, from the newest job on."""
        found: List[JobSummary] = []
        cursor: Optional[str] = None
        while limit is None or len(found) < limit:
            size = LARGEST_PAGE if limit is None else min(LARGEST_PAGE, limit - len(found))
            path = f"/pushy/v1/jobs?{query.encode(size, cursor)}"
            jobs, cursor = read_page(self._connection.get_json(path))
            found += jobs
            if cursor is None or not jobs:
                break
        return found[:limit][::-1]

    def output(
        self, job_id: str, node: str, stream: str = "stdout", *, partial: bool = False
    ) -> Optional[bytes]:
        """Return what ``node`` wrote to ``stream`` (``stdout`` or ``stderr``), byte for byte.

        None when nothing was kept: the job did not capture, or the node has not ended. With
        ``partial`` also what a command that still runs has written so far. (pushy-api 4.6)
        """
        if stream not in STREAMS:
            raise UsageError(f"there is no stream {stream!r}; choose stdout or stderr")
        path = f"/pushy/jobs/{segment(job_id)}/output/{segment(node)}/{stream}"
        path += "?partial=true" if partial else ""
        try:
            return self._connection.get(path, accept=BYTES)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def whoami(self) -> Identity:
        """Return who the server takes us for, what we may do, and by which rule."""
        return read_identity(self._connection.get_json("/pushy/v1/whoami"))

    def resolve(self, prefix: str) -> str:
        """Return the full id of the only job whose id begins with ``prefix``.

        Dashes, as knife-shove and goiardi print them in ids, do not count.
        Raises UnknownJob when there is none, AmbiguousId when there are several.
        """
        wanted = prefix.strip().lower().replace("-", "")
        if FULL_ID.fullmatch(wanted):
            return wanted
        if not re.fullmatch("[0-9a-f]{1,31}", wanted):
            raise UsageError(f"{prefix!r} is not a job id: ids are up to 32 digits of 0-9 and a-f")
        found = self._find(JobQuery(id_start=wanted))
        if not found:
            raise UnknownJob(f"no job's id begins with {wanted}")
        if len(found) > 1:
            raise AmbiguousId(several(wanted, found), [job.id for job in found])
        return found[0].id


def _key(key: Key) -> RSAPrivateKey:
    if isinstance(key, RSAPrivateKey):
        return key
    if isinstance(key, bytes):
        return parse_key(key, "'key'")
    return read_key(Path(key).expanduser())

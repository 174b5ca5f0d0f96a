"""A strict reader of event feeds over a real TLS connection, signed as every request."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from types import TracebackType
from typing import Any, Dict, List, NamedTuple, Optional, Type
from urllib.parse import urlsplit

from house import ADMIN, House

from push_jobs_wire import chef_auth

PATIENCE = 20.0
KEEP_ALIVE = ":keepalive"


class FeedEvent(NamedTuple):
    """An event as it came."""

    name: str
    id: str
    data: Dict[str, Any]

    @property
    def gist(self) -> str:
        """Name, node and status in one word."""
        words = (self.name, self.data.get("node"), self.data.get("status"))
        return " ".join(word for word in words if word)


class FeedReader:
    """One signed GET; the answer's body is read as the test asks for it.

    Args:
        house: where the server is.
        path: below the organization, as ``/pushy/job_status_feed``.
        last_id: value of ``Last-Event-ID``.
        user: who signs, with the key in ``USER.pem`` of the house's folder.
        org: another organization.
        headers: more headers.
    """

    def __init__(
        self,
        house: House,
        path: str,
        last_id: Optional[str] = None,
        *,
        user: str = ADMIN,
        org: str = "acme",
        method: str = "GET",
        **headers: str,
    ) -> None:
        target = f"/organizations/{org}{path}"
        key = chef_auth.load_private_key((house.folder / f"{user}.pem").read_bytes())
        signed = chef_auth.sign(
            method=method,
            target=target,
            body=b"",
            user_id=user,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=key,
        )
        sent = {"Accept": "text/event-stream", **signed, **headers}
        if last_id is not None:
            sent["Last-Event-ID"] = last_id
        url = urlsplit(house.address)
        tls = ssl.create_default_context(cafile=str(house.data / "ca.crt"))
        assert url.hostname is not None
        self.connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=PATIENCE, context=tls
        )
        self.connection.request(method, target, headers=sent)
        self.answer = self.connection.getresponse()

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.answer.status

    def line(self) -> Optional[str]:
        """The next line; None at the end."""
        raw = self.answer.readline()
        if not raw:
            return None
        assert raw.endswith(b"\n"), raw
        return raw[:-1].decode("utf-8")

    def next(self) -> Optional[FeedEvent]:
        """The next event, which has to come soon and in the exact form; None at the end."""
        deadline = time.monotonic() + PATIENCE
        line = self.line()
        while line == KEEP_ALIVE:
            assert time.monotonic() < deadline, "no event came"
            line = self.line()
        if line is None:
            return None
        lines = [line, self.line(), self.line(), self.line()]
        pieces = [each or "" for each in lines]
        assert [piece.partition(" ")[0] for piece in pieces] == ["event:", "id:", "data:", ""]
        name, event_id, data = (piece.partition(" ")[2] for piece in pieces[:3])
        parsed = json.loads(data)
        assert next(iter(parsed)) == "timestamp"
        return FeedEvent(name, event_id, parsed)

    def some(self, count: int) -> List[FeedEvent]:
        """The next events; there have to be so many."""
        found = [self.next() for _ in range(count)]
        assert None not in found, found
        return [event for event in found if event is not None]

    def rest(self) -> List[FeedEvent]:
        """All events to the end, which has to come."""
        found = []
        event = self.next()
        while event is not None:
            found.append(event)
            event = self.next()
        return found

    def body(self) -> Any:
        """The JSON body of a refusal."""
        return json.loads(self.answer.read())

    def close(self) -> None:
        """Go away."""
        self.answer.close()
        self.connection.close()

    def __enter__(self) -> FeedReader:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def open_in_time(house: House, path: str, last_id: Optional[str] = None) -> FeedReader:
    """Read as soon as there is a place for one more reader."""
    deadline = time.monotonic() + PATIENCE
    feed = FeedReader(house, path, last_id)
    while feed.status == 503:
        assert time.monotonic() < deadline, "no place got free"
        feed.close()
        time.sleep(0.02)
        feed = FeedReader(house, path, last_id)
    return feed

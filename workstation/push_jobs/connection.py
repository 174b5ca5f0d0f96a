"""Sends one signed request at a time over a kept-alive connection, and checks what comes back.
Endless answers have connections of their own, so that other requests can be sent meanwhile.

Nothing from the environment but proxy settings counts here. In particular the pinned CA goes with
each request: requests would prefer REQUESTS_CA_BUNDLE to a CA that is set on its session.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import time
from pathlib import Path
from typing import IO, Dict, Generator, List, Mapping, Optional, Union

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs.address import ServerAddress
from push_jobs.errors import (
    ApiError,
    BadAnswer,
    ConnectionLost,
    NotPermitted,
    PushJobsClientError,
    UsageError,
)
from push_jobs.failures import translate
from push_jobs.pinning import fetch_pinned_ca
from push_jobs.sessions import open_session
from push_jobs.terminal import escape_line
from push_jobs_wire import chef_auth
from push_jobs_wire.errors import LocalError

JSON = "application/json"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"


class Connection:
    """A signed connection to one server; not to be shared between threads."""

    def __init__(
        self,
        address: ServerAddress,
        user: str,
        key: RSAPrivateKey,
        *,
        ca: Optional[Path],
        fingerprint: Optional[str],
        timeout: float,
    ) -> None:
        self.address = address
        self._user = user
        self._key = key
        self._fingerprint = fingerprint
        self._timeout = timeout
        self._verify: Union[bool, str] = True if ca is None else str(ca)
        self._pinned: Optional[IO[str]] = None
        self._session = open_session(address)

    def get(self, path: str, accept: str = JSON) -> bytes:
        """Return the body of ``path`` below the organization; raises PushJobsClientError."""
        self._establish_trust()
        return self._submit(self._signed("GET", path, b"", {"Accept": accept}))

    def get_json(self, path: str) -> object:
        """Return the parsed JSON of ``path`` below the organization."""
        return _parse(self.get(path), path)

    def post_json(self, path: str, body: bytes) -> object:
        """Send JSON and return the parsed JSON of the answer."""
        return self.submit_json(self.prepare_post(path, body, {}))

    def prepare_post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Return a signed request that ``submit_json`` may send more than once."""
        self._establish_trust()
        return self._signed("POST", path, body, {"Accept": JSON, "Content-Type": JSON, **headers})

    def submit_json(self, request: requests.PreparedRequest) -> object:
        """Send a prepared request and return the parsed JSON of the answer."""
        return _parse(self._submit(request), request.path_url)

    def stream(
        self, path: str, accept: str, headers: Mapping[str, str]
    ) -> Generator[bytes, None, None]:
        """Yield nothing (``b""``) when an endless answer begins, then its pieces as they come.

        Raises PushJobsClientError before the first one; ends when the answer ends or breaks. To be
        closed by who does not read it to its end.
        """
        self._establish_trust()
        request = self._signed("GET", path, b"", {"Accept": accept, **headers})
        with open_session(self.address) as session, self._exchange(session, request) as response:
            _check(response)
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith(accept):
                raise BadAnswer(f"the answer to {path} is {escape_line(kind)}, not {accept}")
            yield b""
            try:
                yield from response.iter_content(chunk_size=None)
            except (requests.RequestException, OSError):
                return

    def close(self) -> None:
        """Close the connection and forget the fetched CA certificate."""
        self._session.close()
        if self._pinned is not None:
            self._pinned.close()

    def _submit(self, request: requests.PreparedRequest) -> bytes:
        try:
            response = self._send(request)
        except ConnectionLost:
            # A kept-alive connection may end just when it is used again. Our server answers the
            # very same signed request with the first job, so that repeating a start is safe too.
            response = self._send(request)
        _check(response)
        return bytes(response.content)

    def _establish_trust(self) -> None:
        if self._fingerprint is None or self._pinned is not None:
            return
        pem = fetch_pinned_ca(self.address, self._fingerprint, self._timeout)
        self._pinned = _kept(pem)
        self._verify = self._pinned.name

    def _signed(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        url = f"{self.address.origin}/organizations/{self.address.organization}{path}"
        request = self._session.prepare_request(
            requests.Request(method, url, headers=dict(headers), data=body or None)
        )
        request.headers.update(self._signature(method, request.path_url, body))
        return request

    def _signature(self, method: str, target: str, body: bytes) -> Dict[str, str]:
        try:
            return chef_auth.sign(
                method=method,
                target=target,
                body=body,
                user_id=self._user,
                timestamp=chef_auth.timestamp(time.time()),
                private_key=self._key,
            )
        except LocalError as error:
            raise UsageError(escape_line(str(error))) from None

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        response = self._exchange(self._session, request, stream=False)
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) != len(response.content):
            raise ConnectionLost(self.address.shown)
        return response

    def _exchange(
        self, session: requests.Session, request: requests.PreparedRequest, stream: bool = True
    ) -> requests.Response:
        try:
            return session.send(
                request,
                verify=self._verify,
                timeout=self._timeout,
                allow_redirects=False,
                stream=stream,
            )
        except (requests.RequestException, OSError) as error:
            raise translate(error, self.address.shown, self._timeout) from error


def _kept(pem: str) -> IO[str]:
    """Return an open temporary file with ``pem`` in it: requests takes certificates from files."""
    try:
        file = tempfile.NamedTemporaryFile("w", prefix="push-jobs-ca-", suffix=".pem")
        file.write(pem)
        file.flush()
    except OSError as error:
        why = error.strerror or error
        raise PushJobsClientError(f"cannot keep the CA in a temporary file: {why}") from error
    return file


def check_ca(path: Path) -> None:
    """Raise UsageError unless ``path`` is a file of PEM certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
    except ssl.SSLError:
        raise UsageError(f"the CA file {path} holds no PEM certificate") from None
    except OSError as error:
        raise UsageError(f"cannot read the CA file {path}: {error.strerror or error}") from None


def _check(response: requests.Response) -> None:
    if response.status_code >= 300:
        raise _refusal(response.status_code, _messages(response))


def _refusal(status: int, messages: List[str]) -> PushJobsClientError:
    return NotPermitted(status, messages) if status in (401, 403) else ApiError(status, messages)


def _messages(response: requests.Response) -> List[str]:
    """Return the server's words; both shapes of ``error`` exist (pushy-api 1.6)."""
    if response.is_redirect:
        return [f"it sends us to {response.headers['Location']}; set the server URL to where it is"]
    try:
        error = json.loads(response.content)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return [response.reason or "without a reason"]
    return [str(item) for item in error] if isinstance(error, list) else [str(error)]


def _parse(body: bytes, path: str) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        shown = escape_line(body[:60].decode("utf-8", "backslashreplace"))
        raise BadAnswer(
            f"the answer to {path} is not JSON; is this a push-jobs server? It begins: {shown!r}"
        ) from None
    return value

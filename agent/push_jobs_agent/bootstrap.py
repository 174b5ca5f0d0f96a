"""Gets an agent's settings from its server. Runs as a process of its own: `python -m ...bootstrap`.

A request comes as JSON on standard input, the answer leaves as JSON on standard output, and the
process ends: so the long-lived session never loads the libraries for HTTP and RSA. It must not be
imported by the session. Keys are never printed. Sources: pushy-protocol 2.1 to 2.6.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Union
from urllib.parse import quote, urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers

from push_jobs_agent.errors import AgentError
from push_jobs_agent.server_settings import ServerSettings, check_answer, read_answer, to_json
from push_jobs_wire import chef_auth
from push_jobs_wire.errors import PushJobsError

TIMEOUT = 5.0
"""Seconds to connect, and between two pieces of the answer (pushy-protocol 2.1)."""

MAX_ANSWER = 1024 * 1024
PROTOCOL_VERSION = "2.0"


@dataclass(frozen=True)
class Request:
    """What the session asks for; ``curve_key`` is its public CURVE key (Z85)."""

    server_url: str
    organization: str
    node: str
    client_key: str
    curve_key: str
    ca_file: Optional[str] = None
    trusted_certs_dir: Optional[str] = None


class FetchError(AgentError):
    """Raised when the server gave no settings.

    ``status`` is its HTTP status, 0 without one; ``lasting`` says that waiting alone will not help.
    """

    def __init__(self, text: str, status: int = 0, lasting: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.lasting = lasting


def fetch(request: Request) -> ServerSettings:
    """Ask the server for the settings of this node, and check them.

    Raises FetchError, or another PushJobsError for a key or an answer that is not usable.
    """
    key = _private_key(request.client_key)
    answer = _get(request, key)
    check_answer(answer, request.organization, request.node)
    public_key = _public_key(answer["public_key"])
    session_key = _session_key(key, answer["encoded_session_key"]["key"], request)
    return read_answer(answer, public_key.n, public_key.e, session_key)


def _private_key(path: str) -> RSAPrivateKey:
    try:
        with open(path, "rb") as file:
            pem = file.read()
    except OSError as error:
        text = f"cannot read the client key {path}: {error.strerror}"
        raise FetchError(text, lasting=True) from None
    try:
        return chef_auth.load_private_key(pem)
    except PushJobsError as error:
        text = f"the client key {path} is not usable: {error}"
        raise FetchError(text, lasting=True) from None


def _public_key(pem: str) -> RSAPublicNumbers:
    try:
        return chef_auth.load_public_key(pem).public_numbers()
    except PushJobsError as error:
        text = f"the server's public key is not usable: {error}"
        raise FetchError(text, lasting=True) from None


def _session_key(key: RSAPrivateKey, encoded: str, request: Request) -> bytes:
    try:
        return key.decrypt(base64.b64decode(encoded), PKCS1v15())
    except (ValueError, binascii.Error):
        raise FetchError(
            f"the session key cannot be decrypted with {request.client_key}: "
            f"the server knows another public key for {request.node}",
            lasting=True,
        ) from None


def _get(request: Request, key: RSAPrivateKey) -> Any:
    base = request.server_url.rstrip("/")
    url = f"{base}/pushy/config/{quote(request.node, safe=':')}"
    query = f"?ccpk={quote(request.curve_key, safe='')}&version={PROTOCOL_VERSION}"
    headers = chef_auth.sign(
        method="GET",
        target=urlsplit(url).path,
        body=b"",
        user_id=request.node,
        timestamp=chef_auth.timestamp(time.time()),
        private_key=key,
    )
    status, body = _http(url + query, dict(headers, Accept="application/json"), request)
    if status != 200:
        raise FetchError(_refusal(status, body, request), status, lasting=status < 500)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        text = f"{_place(request)} answered with something that is no JSON"
        raise FetchError(text, lasting=True) from None


def _http(url: str, headers: Dict[str, str], request: Request) -> "tuple[int, bytes]":
    where = _place(request)
    try:
        with tempfile.TemporaryDirectory(prefix="push-jobs-") as folder:
            with requests.get(
                url,
                headers=headers,
                timeout=TIMEOUT,
                # With the request: a CA bundle named in the environment would replace a session's.
                verify=_trusted(request, folder),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, _body(response, where)
    except requests.exceptions.SSLError as error:
        text = f"the certificate of {where} is not trusted: {_cause(error)}"
        raise FetchError(text, lasting=True) from None
    except requests.exceptions.Timeout:
        raise FetchError(f"{where} did not answer within {TIMEOUT:.0f} s") from None
    except (requests.exceptions.RequestException, OSError) as error:
        raise FetchError(f"cannot reach {where}: {_cause(error)}") from None


def _body(response: requests.Response, where: str) -> bytes:
    body = b""
    for piece in response.iter_content(65536):
        body += piece
        if len(body) > MAX_ANSWER:
            raise FetchError(f"{where} answered with more than {MAX_ANSWER} bytes")
    return body


def _trusted(request: Request, folder: str) -> Union[bool, str]:
    """What to verify the server's certificate with: True is the system's certificates."""
    if request.ca_file is not None:
        try:
            ssl.create_default_context(cafile=request.ca_file)
        except OSError as error:
            text = f"the CA file {request.ca_file} is not usable: {_cause(error)}"
            raise FetchError(text, lasting=True) from None
        return request.ca_file
    extra = _certificates(request.trusted_certs_dir)
    if not extra:
        return True
    bundle = os.path.join(folder, "trusted.pem")
    with open(bundle, "wb") as file:
        for path in [requests.utils.DEFAULT_CA_BUNDLE_PATH, *extra]:
            with open(path, "rb") as part:
                file.write(part.read() + b"\n")
    return bundle


def _certificates(folder: Optional[str]) -> List[str]:
    if folder is None or not os.path.isdir(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if name.endswith((".crt", ".pem")))
    return [os.path.join(folder, name) for name in names]


def _place(request: Request) -> str:
    parts = urlsplit(request.server_url)
    return f"{parts.scheme}://{parts.netloc}"


def _cause(error: BaseException) -> str:
    """The words of the innermost error: the outer ones repeat them among addresses of objects."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return str(words or error)[:200]


def _refusal(status: int, body: bytes, request: Request) -> str:
    words = _server_words(body)
    where, name = _place(request), request.node
    if status == 401 and ("clock" in words.lower() or "timestamp" in words.lower()):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = f"{where} says that the clock of this node is wrong (it reads {now})"
    elif status == 401:
        text = f"{where} refuses the signature of {name}: is {request.client_key} the key it knows?"
    elif status == 403:
        text = f"{where} does not let {name} get settings"
    elif status == 404:
        text = f"{where} knows no organization {request.organization}, or no push jobs"
    elif 300 <= status < 400:
        text = f"{where} sends us elsewhere; name the right address in chef_server_url"
    else:
        text = f"{where} cannot give settings now"
    return f"{text} (status {status}{': ' if words else ''}{words})"


def _server_words(body: bytes) -> str:
    """What the server says about an error, made safe for a log."""
    try:
        error: Any = json.loads(body).get("error", "")
    except (ValueError, AttributeError, RecursionError):
        return ""
    text = "; ".join(map(str, error)) if isinstance(error, list) else str(error)
    return "".join(sign if sign.isprintable() else " " for sign in text)[:200]


def main() -> int:
    """Answer the request on standard input; always exits 0 with an answer in JSON."""
    try:
        answer = to_json(fetch(Request(**json.load(sys.stdin))))
    except FetchError as error:
        answer = {"error": str(error), "status": error.status, "lasting": error.lasting}
    except PushJobsError as error:
        answer = {"error": str(error), "status": 0, "lasting": True}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

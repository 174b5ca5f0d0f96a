"""Signed HTTP PUTs to the server of the Shovey API, over one connection that is kept.

Loaded only by an agent whose jobs come over Serf: it brings the libraries for HTTP and RSA. Used by
one thread. Keys are never shown. Sources: shovey 2.1, 2.2, 5.6.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import time
import urllib.request
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_agent.actions import Answer, Put
from push_jobs_agent.config import Config
from push_jobs_agent.version import VERSION
from push_jobs_wire import chef_auth
from push_jobs_wire.errors import PushJobsError

TIMEOUT = 20.0
"""Seconds to connect, and between two pieces of an answer."""

MAX_ANSWER = 65536
_API_VERSION = "1"
"""A goiardi cannot check the signature of a request that does not name the version."""


class ReportConnection:
    """The way of one thread to the server.

    Args:
        config: the settings: where the server is, who this node is, what is trusted, what proxies
            there are.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        parts = urlsplit(config["shovey_url"])
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._netloc = parts.netloc
        self._base: str = parts.path.rstrip("/")
        self._proxy = _proxy(config, parts.scheme, self._host)
        self._connection: Optional[http.client.HTTPConnection] = None
        self._key: Optional[RSAPrivateKey] = None

    def put(self, put: Put) -> Answer:
        """Send it; whatever goes wrong is in the answer."""
        try:
            headers = self._headers(put)
            try:
                return self._send(put, headers, self._connection is None)
            except _Stale:
                return self._send(put, headers, True)
        except (OSError, http.client.HTTPException, PushJobsError, ValueError) as error:
            self.close()
            return Answer(put, 0, self._problem(error))

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _problem(self, error: BaseException) -> str:
        cause = _cause(error)
        if not isinstance(error, ssl.SSLCertVerificationError):
            return cause
        where = f"https://{self._netloc}"
        file = self._config["ca_file"]
        hint = "set ca_file to its CA" if file is None else f"ca_file is {file}: is that its CA?"
        return f"the certificate of {where} is not trusted: {cause} ({hint})"

    def _send(self, put: Put, headers: Mapping[str, str], fresh: bool) -> Answer:
        if fresh:
            self.close()
            self._connection = self._connect()
        assert self._connection is not None
        try:
            self._connection.request("PUT", self._target(put), put.body, dict(headers))
            response = self._connection.getresponse()
            body = response.read(MAX_ANSWER)
        except (ConnectionError, http.client.BadStatusLine):
            if fresh:
                raise
            raise _Stale from None  # the server had closed it meanwhile
        if not response.isclosed():
            self.close()  # more than anybody reads
        goiardi = response.getheader("X-Goiardi") is not None
        problem = "" if response.status < 300 else _words(response.status, body)
        unknown = response.status == 404 and _is_unknown(body)
        return Answer(put, response.status, problem, goiardi, unknown)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._proxy[0] if self._proxy else (self._host, self._port)
        if not self._tls:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        context = _context(self._config)
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
        if self._proxy:
            connection.set_tunnel(self._host, self._port, self._proxy[1])
        return connection

    def _target(self, put: Put) -> str:
        path = self._base + put.path
        return f"http://{self._netloc}{path}" if self._proxy and not self._tls else path

    def _headers(self, put: Put) -> Dict[str, str]:
        headers = chef_auth.sign(
            method="PUT",
            target=self._base + put.path,
            body=put.body,
            user_id=self._config.node_name,
            timestamp=chef_auth.timestamp(time.time()),
            private_key=self._private_key(),
            server_api_version=_API_VERSION,
        )
        if self._proxy and not self._tls:
            headers.update(self._proxy[1])
        more = {"Accept": "application/json", "Content-Type": "application/json"}
        return {**headers, **more, "User-Agent": f"push-jobs-agent/{VERSION}"}

    def _private_key(self) -> RSAPrivateKey:
        if self._key is None:
            with open(self._config["client_key"], "rb") as file:
                self._key = chef_auth.load_private_key(file.read())
        return self._key


class _Stale(Exception):
    """Raised when a connection that was kept turned out to be gone."""


def _context(config: Config) -> ssl.SSLContext:
    """What the server's certificate is verified with. Raises OSError."""
    if config["ca_file"] is not None:
        return ssl.create_default_context(cafile=config["ca_file"])
    context = ssl.create_default_context()
    folder = config["trusted_certs_dir"]
    if folder is not None and os.path.isdir(folder):
        for name in sorted(os.listdir(folder)):
            if name.endswith((".crt", ".pem")):
                context.load_verify_locations(os.path.join(folder, name))
    return context


_ENVIRONMENT: Any = urllib.request
"""Reads the proxies of the environment; some type stubs do not know that it can."""

Proxy = Tuple[Tuple[str, int], Dict[str, str]]
"""Where it is, and the headers that it wants."""


def _proxy(config: Config, scheme: str, host: str) -> Optional[Proxy]:
    """The proxy for a server, from the settings or else from the environment."""
    known: Dict[str, Any] = dict(_ENVIRONMENT.getproxies_environment())
    for name in ("http", "https", "no"):
        known[name] = config[f"{name}_proxy"] or known.get(name)
    if not known[scheme] or _ENVIRONMENT.proxy_bypass_environment(host, {"no": known["no"] or ""}):
        return None
    url = known[scheme] if "://" in known[scheme] else f"http://{known[scheme]}"
    parts = urlsplit(url)
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return (parts.hostname or "", parts.port or 80), headers


_UNKNOWN = re.compile(
    r"shovey job \S+ not found|run \S+ for node \S+ not found|sql: no rows in result set"
)
"""How the Shovey API says that it has no such run; the last is a goiardi with an SQL store."""


def _is_unknown(body: bytes) -> bool:
    """True for a 404 of the Shovey API itself; others come from a proxy or from a wrong way."""
    try:
        error: Any = json.loads(body)["error"]
        return len(error) == 1 and _UNKNOWN.fullmatch(error[0]) is not None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False


def _words(status: int, body: bytes) -> str:
    """What the server says about an error, made safe for a log."""
    text = body[:200].decode("utf-8", "replace")
    clean = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    return f"status {status}: {clean}" if clean else f"status {status}"


def _cause(error: BaseException) -> str:
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return str(words or error or type(error).__name__)[:200]

"""Translates what requests, urllib3, ssl and the sockets below them raise into one readable reason.

Nothing here decides what to do next.
"""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Iterator, List, Optional, Set

import requests

from push_jobs.errors import ConnectionLost, ServerUnreachable, UntrustedServer
from push_jobs.terminal import escape_line

_LOST = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
)


def translate(error: BaseException, address: str, timeout: float) -> ServerUnreachable:
    """Return what ``error`` means; ``address`` is HOST:PORT, ``timeout`` the seconds allowed."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedServer(address, _certificate(cause))
    if isinstance(error, requests.exceptions.ProxyError):
        return ServerUnreachable(address, f"the proxy failed: {_words(cause or error)}")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return ServerUnreachable(address, f"no connection within {timeout:g} s")
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, socket.timeout):
        return ServerUnreachable(address, f"connected, but no answer within {timeout:g} s", True)
    if isinstance(cause, ssl.SSLError):
        return ServerUnreachable(address, _tls(cause))
    return _connection(cause, error, address)


def next_steps(error: BaseException) -> Iterator[str]:
    """Yield what people may do about a server that nothing reached."""
    if not isinstance(error, ServerUnreachable) or isinstance(error, UntrustedServer):
        return
    if error.may_have_arrived:
        return
    yield (
        "see whether the server runs, and whether this is its address: "
        "--server, PUSHJOBS_SERVER or the profile says it"
    )
    if error.address.endswith(":443"):
        yield "a URL without a port means 443; the server's usual port is 10003"


def _connection(
    cause: Optional[BaseException], error: BaseException, address: str
) -> ServerUnreachable:
    if isinstance(cause, socket.gaierror):
        return ServerUnreachable(address, f"its name cannot be resolved ({_words(cause)})")
    if isinstance(cause, (*_LOST, IncompleteRead)):
        return ConnectionLost(address)
    if isinstance(cause, OSError):
        return ServerUnreachable(address, _words(cause).lower())
    if isinstance(cause, HTTPException):
        return ServerUnreachable(address, "the answer is not HTTP", may_have_arrived=True)
    return ServerUnreachable(address, _words(error), may_have_arrived=True)


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    why = escape_line(error.verify_message or str(error)).rstrip(".")
    return (
        f"its certificate is not trusted ({why}); "
        "check the address, and that 'ca' or 'fingerprint' is set and belongs to this server"
    )


def _tls(error: ssl.SSLError) -> str:
    if error.reason in _NOT_TLS:
        return "it does not speak TLS on this port"
    return f"TLS failed: {escape_line(error.reason or str(error))}"


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None)
    return escape_line(text if isinstance(text, str) and text else str(error))


def _cause(error: BaseException) -> Optional[BaseException]:
    """Return the error of the operating system, of TLS or of HTTP parsing at the bottom of it."""
    found = None
    for link in _chain(error):
        if isinstance(link, requests.RequestException):
            continue
        if isinstance(link, ssl.SSLCertVerificationError):
            return link
        if found is None and isinstance(link, (OSError, HTTPException)):
            found = link
    return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: Set[int] = set()
    todo: List[object] = [error]
    while todo:
        link = todo.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        todo += [
            *link.args,
            getattr(link, "reason", None),
            link.__cause__,
            link.__context__,
        ]

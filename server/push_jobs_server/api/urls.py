"""What a proxy in front of us changes: the absolute URL of a job, as its clients have to see it
(pushy-api 1.7), and the address of a client. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, List, Sequence
from urllib.parse import unquote

_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


def base_url(environ: Dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """``SCHEME://HOST[:PORT]``; forwarded headers count only from trusted proxies.

    What can't be a host is passed over: it would become part of a header of the answer.
    """
    names = ["HTTP_HOST"]
    scheme = str(environ.get("wsgi.url_scheme", "https"))
    if _trusted(str(environ.get("REMOTE_ADDR", "")), trusted_proxies):
        names = ["HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_SERVER", *names]
        sent = _first(environ.get("HTTP_X_FORWARDED_PROTO")).lower()
        scheme = sent if sent in ("http", "https") else scheme
    hosts = (_first(environ.get(name)) for name in names)
    host = next(filter(_HOST.fullmatch, hosts), "localhost")
    for port in (":80", ":443"):
        if host.endswith(port):
            host = host[: -len(port)]
    return f"{scheme}://{host}"


def client_address(environ: Dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """Who sent the request: of the hops that trusted proxies name, the last one not trusted."""
    address = str(environ.get("REMOTE_ADDR", ""))
    hops = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    while hops and _trusted(address, trusted_proxies):
        hop = hops.pop().strip()
        if not _is_address(hop):
            break
        address = hop
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _trusted(peer: str, proxies: Sequence[str]) -> bool:
    """Whether a peer's address is one of the proxies, or in one of their networks."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)


def _first(value: Any) -> str:
    return str(value or "").split(",")[0].strip()


def segments(target: str) -> str:
    """The path of a request target with empty pieces dropped, percent-encoding untouched."""
    path = target.split("?", 1)[0]
    return "/" + "/".join(piece for piece in path.split("/") if piece)


def cleaned(target: str) -> str:
    """The decoded path of a request target as the Shovey routes take it (shovey 2).

    Doubled slashes and dots are gone, a last slash stays. What is no UTF-8 stays as it was sent.
    """
    path = unquote(target.partition("?")[0], errors="surrogateescape")
    pieces: List[str] = []
    for piece in path.split("/"):
        if piece == "..":
            del pieces[-1:]
        elif piece not in ("", "."):
            pieces.append(piece)
    last = "/" if path.endswith(("/", "/.", "/..")) and pieces else ""
    return "/" + "/".join(pieces) + last

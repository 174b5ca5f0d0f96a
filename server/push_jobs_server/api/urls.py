"""The absolute URL of a job, as clients behind a proxy have to see it (pushy-api 1.7). Pure."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, Sequence


def base_url(environ: Dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """``SCHEME://HOST[:PORT]``; forwarded headers count only from trusted proxies."""
    names = ["HTTP_HOST"]
    scheme = str(environ.get("wsgi.url_scheme", "https"))
    if _trusted(str(environ.get("REMOTE_ADDR", "")), trusted_proxies):
        names = ["HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_SERVER", *names]
        scheme = _first(environ.get("HTTP_X_FORWARDED_PROTO")) or scheme
    host = next(filter(None, (_first(environ.get(name)) for name in names)), "localhost")
    for port in (":80", ":443"):
        if host.endswith(port):
            host = host[: -len(port)]
    return f"{scheme}://{host}"


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

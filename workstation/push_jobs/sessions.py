"""Opens HTTP sessions on which the environment has no say, but for the proxy."""

from __future__ import annotations

from importlib.metadata import version

import requests
from requests.utils import get_environ_proxies

from push_jobs.address import ServerAddress


def open_session(address: ServerAddress) -> requests.Session:
    """Return a session for one server; a server on this machine is never asked through a proxy."""
    session = requests.Session()
    session.trust_env = False
    if not address.loopback:
        session.proxies.update(get_environ_proxies(address.origin))
    session.headers.update(
        {
            "User-Agent": f"push-jobs/{version('push-jobs')}",
            "Accept-Encoding": "identity",
        }
    )
    return session

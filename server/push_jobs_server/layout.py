"""The names of what lies in a data directory, besides what the settings name."""

from __future__ import annotations

CA_KEY = "ca.key"
SIGNING_KEY = "signing.pem"
"""RSA key that signs heartbeats."""
CURVE_KEYS = "curve.json"
RUN = "run"
"""Folder of what only a running server writes."""
ADDRESSES = "addresses.json"
"""In ``run``: where the server really listens; ``http`` is the url of its HTTP API."""
PID = "server.pid"
"""In ``run``: the number of the server's process."""

"""Exit codes of the agent, fixed for service managers and scripts (operator-surfaces 2.4, 9.2)."""

from __future__ import annotations

import signal
from typing import Mapping

OK = 0
"""Stopped as asked; also help, version and a check that found nothing."""

UNEXPECTED = 1
"""An error that is nobody's setting: report it."""

INTERRUPTED: Mapping[int, int] = {signal.SIGINT: 2, signal.SIGTERM: 3}
"""Stopped before the server had given settings; units of old count 3 as success."""

REFUSED = 4
"""The server does not accept this node. Only when a person watches; a service goes on trying."""

NO_SETTINGS = 5
"""The server gave no settings that can be used. Only when a person watches."""

CONFIG = 43
"""Settings, whitelist or command line are wrong: starting again will not help."""

"""Log lines of the server on standard error: `key=value` text on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any, Dict

from push_jobs_wire.log_line import log_line, moment

_LEVELS = {"warn": "WARNING", "fatal": "CRITICAL"}


class _Formatter(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: Dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return log_line(fields, self._as_json)


def set_up_logging(level: str, style: str) -> None:
    """Send log lines to standard error; ``style`` is auto, text or json."""
    handler = logging.StreamHandler(sys.stderr)
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    handler.setFormatter(_Formatter(as_json))
    # A full disk or a closed pipe must not end the server, nor show a traceback.
    logging.raiseExceptions = False
    root = logging.getLogger("push_jobs_server")
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(level, level.upper()))
    root.propagate = False

"""Log lines of the agent: `key=value` text or JSON, always with the node's name."""

from __future__ import annotations

import logging
import sys
from typing import Any, Dict, Mapping, Optional

from push_jobs_wire.log_line import log_line, moment

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}

_LOGGER = logging.getLogger("push_jobs_agent")


class _Formatter(logging.Formatter):
    def __init__(self, node: str, as_json: bool) -> None:
        super().__init__()
        self._node = node
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: Dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "node": self._node,
            "event": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        return log_line(fields, self._as_json)


def set_up(node: str, level: str, path: Optional[str], as_json: bool) -> None:
    """Send log lines to a file, or to standard output. Called again it opens the file again.

    Raises OSError when the file cannot be opened; the old destination stays then.
    """
    use(open_log(path), node, level, as_json)


def open_log(path: Optional[str]) -> logging.Handler:
    """A place for log lines: a file, or standard output. Raises OSError."""
    if path is None:
        return logging.StreamHandler(sys.stdout)
    return logging.FileHandler(path)


def use(handler: logging.Handler, node: str, level: str, as_json: bool) -> None:
    """Send log lines to this place from now on, and let go of the one before."""
    handler.setFormatter(_Formatter(node, as_json))
    for old in list(_LOGGER.handlers):
        _LOGGER.removeHandler(old)
        if isinstance(old, logging.FileHandler):
            old.close()
    # A full disk or a closed pipe must not end the agent, nor show a traceback.
    logging.raiseExceptions = False
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(LEVELS[level])
    _LOGGER.propagate = False


def reopen() -> None:
    """Let go of the log file, which may have been rotated; the next line opens it by its name."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()


def log(level: str, text: str, fields: Optional[Mapping[str, Any]] = None) -> None:
    """Write a line; ``level`` is debug, info, warning, error or critical."""
    _LOGGER.log(getattr(logging, level.upper()), text, extra={"fields": fields or {}})

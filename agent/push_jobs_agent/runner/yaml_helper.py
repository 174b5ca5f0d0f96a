"""Has a YAML file turned into JSON by a process that lives only as long as that takes.

The runner itself never imports ``yaml``: it would stay in its memory for good.
"""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "yaml_to_json.py")
HELPER_LASTS = 20.0
"""Seconds between two pieces of the helper's answer."""


def yaml_as_json(file: BinaryIO) -> bytes:
    """The YAML text in an open file as JSON text.

    Raises:
        ValueError: one line for each mistake of the file.
        OSError: when the helper cannot be started.
    """
    reader, writer = os.pipe()
    try:
        pid = _start_helper(file.fileno(), writer)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    with open(reader, "rb", buffering=0) as answer:
        data = _read_all(answer.fileno(), pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return data
    text = data.decode("utf-8", "replace").strip() if status == 1 else ""
    raise ValueError(text or f"the helper that reads YAML ended with exit code {status}")


def _start_helper(source: int, target: int) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, source, 0),
        (os.POSIX_SPAWN_DUP2, target, 1),
    ]
    arguments = [sys.executable, "-I", HELPER]
    return os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)


def _read_all(answer: int, pid: int) -> bytes:
    pieces: list[bytes] = []
    while True:
        if not select.select([answer], [], [], HELPER_LASTS)[0]:
            os.kill(pid, signal.SIGKILL)
            return b""
        piece = os.read(answer, 65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)

"""Bounded output: the head and the tail are kept, one mark line tells what was between them.

On disk a channel is its head (``stdout``) and, once that is full, numbered pieces of the tail
(``stdout.1``, ``stdout.2``, ...) of which the last two stay. Files only ever grow, so whatever
moment the runner dies at, what is there can be read. No process and no socket in here.
"""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

DEFAULT_LIMIT = 1 << 20
"""Bytes kept of each channel."""

MARK = b"\n[... %d bytes left out ...]\n"
_MARKED = re.compile(rb"\n\[\.\.\. ([0-9]{1,18}) bytes left out \.\.\.\]\n")


def bound(data: bytes, limit: int) -> bytes:
    """``data`` in at most ``limit`` bytes: head, mark and tail when it is longer.

    A mark that is in the middle already is taken into the new one. Nothing fits into a limit that
    is smaller than a mark.
    """
    if len(data) <= limit:
        return data
    room = limit - len(MARK % (len(data) + 10**18))
    if room <= 0:
        return b""
    head, tail = room // 2, len(data) - (room - room // 2)
    earlier = _MARKED.search(data, head, tail)
    left_out = tail - head
    if earlier:
        left_out += int(earlier[1]) - len(earlier[0])
    return data[:head] + MARK % left_out + data[tail:]


class Channel:
    """Takes one channel of a job to disk.

    Args:
        path: of the head; made when there is something to put into it.
        limit: bytes that are kept in the end; on disk up to half of it more.
        mode: of the files.

    Attributes:
        size: bytes that came in all.
        problem: why some of them were lost, if they were.
    """

    def __init__(self, path: str, limit: int, mode: int = 0o600) -> None:
        self._path = path
        self._mode = mode
        self._head = limit // 2
        self._piece = limit - self._head
        self._fd = -1
        self._number = -1
        self._room = 0
        self.size = 0
        self.problem: Optional[str] = None

    def feed(self, data: bytes) -> None:
        """Keep ``data``; when the disk does not take it, it is lost and ``problem`` says so."""
        rest = memoryview(data)
        try:
            while rest:
                if not self._room:
                    self._turn_over()
                size = os.write(self._fd, rest[: self._room])
                self._room -= size
                self.size += size
                rest = rest[size:]
        except OSError as error:
            self.problem = f"output was lost: {error.strerror}"

    def _turn_over(self) -> None:
        """Begin the head, or the next piece of the tail and let the last but one go."""
        number = self._number + 1
        fresh = _create(f"{self._path}.{number}" if number else self._path, self._mode)
        self.close()
        self._fd, self._number = fresh, number
        self._room = self._piece if number else self._head
        if number > 2:
            os.unlink(f"{self._path}.{number - 2}")

    def close(self) -> None:
        """Nothing more will come; bringing it to the disk itself is the spool's business."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _create(path: str, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    if mode != 0o600:
        os.fchmod(fd, mode)  # whatever the umask is, which jobs inherit
    return fd


def read_channel(path: str) -> bytes:
    """What is kept of an ended channel, with the mark where something was left out."""
    head = _read(path)
    number = max(_pieces(path), default=0)
    if number < 2:
        return head + (_read(f"{path}.1") if number else b"")
    before, last = _read(f"{path}.{number - 1}"), _read(f"{path}.{number}")
    left_out = (number - 2) * len(before) + len(last)
    tail = (before + last)[len(last) :]
    return head + (MARK % left_out if left_out else b"") + tail


def read_part(path: str, offset: int, most: int) -> tuple[int, bytes]:
    """Up to ``most`` bytes of a channel that may still grow, from ``offset`` on.

    Returns where the bytes begin, too: that is later than asked for when those were left out.
    """
    while True:
        try:
            return _read_part(path, offset, most)
        except FileNotFoundError:
            # The oldest piece was let go between looking and opening; the next look finds another.
            continue


def _read_part(path: str, offset: int, most: int) -> tuple[int, bytes]:
    pieces = sorted(_pieces(path))
    if not os.path.exists(path):
        return offset, b""
    head = os.path.getsize(path)
    if offset < head or not pieces:
        return offset, _read_at(path, offset, most)
    length = os.path.getsize(f"{path}.{pieces[0]}")  # of all but the last
    number = max((offset - head) // length + 1 if length else 1, pieces[0])
    begin = head + (number - 1) * length
    offset = max(offset, begin)
    if number > pieces[-1]:
        return offset, b""
    return offset, _read_at(f"{path}.{number}", offset - begin, most)


def _read_at(path: str, offset: int, most: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(most)


def _pieces(path: str) -> list[int]:
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [
        int(other[len(name) + 1 :])
        for other in names
        if other.startswith(name + ".") and other[len(name) + 1 :].isdigit()
    ]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""

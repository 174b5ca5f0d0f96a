"""One command as schob runs it, with the order and form of its reports. Source: shovey 5.4."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Dict, List, Optional, Set, Tuple

from schob_http import Reporter

PIECE = 1024
"""Bytes of a chunk that goes out while the program runs; there is no timer."""
_MAY_BE_INTERRUPTED = ("/usr/bin/env", "--default-signal=INT")
"""Tests that run in the background have SIGINT ignored, which programs would inherit."""


@dataclass
class Habits:
    """What goes wrong on a node.

    Args:
        lost: words of run reports that do not arrive.
        gap: numbers of chunks of stdout that do not arrive.
        swapped: full chunks of stdout are sent in pairs, the second one first.
        may_end: last chunks wait for it.
    """

    lost: Set[str] = field(default_factory=set)
    gap: Set[int] = field(default_factory=set)
    swapped: bool = False
    may_end: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_end.set()


class Output:
    """One stream of a program, as numbered chunks."""

    def __init__(self, run: "Run", name: str, source: BinaryIO) -> None:
        self._run = run
        self._name = name
        self._source = source
        self._seq = 0
        self._held: List[Dict[str, Any]] = []
        self._rest = b""

    def read(self) -> None:
        """Send what has gathered until the stream is closed."""
        while True:
            piece = self._source.read(PIECE)
            if len(piece) < PIECE:
                self._rest = piece
                return
            self._send(self._chunk(piece, False))

    def finish(self) -> None:
        """Send the rest, however big or empty."""
        self._send(self._chunk(self._rest, True))

    def _chunk(self, data: bytes, is_last: bool) -> Dict[str, Any]:
        number, self._seq = self._seq, self._seq + 1
        return {
            "seq": number,
            "is_last": is_last,
            "output_type": self._name,
            "output": data.decode("utf-8", "replace"),
        }

    def _send(self, chunk: Dict[str, Any]) -> None:
        habits = self._run.habits
        stdout = self._name == "stdout"
        if stdout and chunk["seq"] in habits.gap:
            return
        if stdout and habits.swapped and not chunk["is_last"] and not self._held:
            self._held.append(chunk)
            return
        for each in [chunk, *self._held]:
            self._run.chunk(each)
        self._held.clear()


class Run:
    """One run of a command line; ``work`` does it all.

    Args:
        reporter: where its reports go.
        place: the node's name and the id of the run.
        line: split at single spaces; no shell.
        timeout: seconds; None for no limit.
        habits: what goes wrong.
    """

    def __init__(
        self,
        reporter: Reporter,
        place: Tuple[str, str],
        line: str,
        timeout: Optional[int],
        habits: Habits,
    ) -> None:
        self.habits = habits
        self._reporter = reporter
        self._node, self._id = place
        self._line = line
        self._timeout = timeout
        self._program: "Optional[subprocess.Popen[bytes]]" = None
        self._cancelled = False

    # What may happen to it from outside

    def cancel(self) -> None:
        """SIGINT for the program alone; no status report follows."""
        if self._program is not None:
            self._cancelled = True
            self._program.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the program, as the end of a test does."""
        if self._program is not None:
            self._program.kill()

    # What it does

    def work(self) -> None:
        """Report, run, report."""
        self.report("running")
        program = self._start()
        if program is not None:
            with program:
                self._follow(program)

    def _start(self) -> "Optional[subprocess.Popen[bytes]]":
        words = self._line.split(" ")
        if shutil.which(words[0]) is None:
            text = f'exec: "{words[0]}": executable file not found in $PATH'
            self.report("invalid", error=text)
            return None
        pipes: Dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*_MAY_BE_INTERRUPTED, *words]
        self._program = subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes)
        return self._program

    def _follow(self, program: "subprocess.Popen[bytes]") -> None:
        assert program.stdout is not None and program.stderr is not None
        outputs = [
            Output(self, "stdout", program.stdout),  # type: ignore[arg-type]
            Output(self, "stderr", program.stderr),  # type: ignore[arg-type]
        ]
        readers = [threading.Thread(target=each.read, daemon=True) for each in outputs]
        for reader in readers:
            reader.start()
        timed_out = self._wait(program)
        for reader in readers:
            reader.join()
        self._report_end(program.returncode, timed_out)
        self.habits.may_end.wait()
        for each in outputs:
            each.finish()

    def _wait(self, program: "subprocess.Popen[bytes]") -> bool:
        """Wait for the end; True when the program had to be killed for its time limit."""
        try:
            program.wait(self._timeout)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
            return True
        return False

    def _report_end(self, code: int, timed_out: bool) -> None:
        if self._cancelled:
            return
        if timed_out:
            text = f"Job {self._id} on node {self._node} timed out"
            self.report("failed", error=text)
        elif code < 0:
            name = signal.strsignal(-code) or ""
            self.report("failed", 255, f"signal: {name.lower()}")
        elif code:
            self.report("failed", code, f"exit status {code}")
        else:
            self.report("succeeded")

    def report(self, word: str, exit_status: int = 0, error: str = "") -> None:
        """A report about the run, once."""
        if word not in self.habits.lost:
            said = {"status": word, "exit_status": exit_status, "error": error}
            self._reporter.report(f"/shovey/jobs/{self._id}/{self._node}", self._body(said))

    def chunk(self, chunk: Dict[str, Any]) -> None:
        """A chunk of output."""
        self._reporter.chunk(f"/shovey/stream/{self._id}/{self._node}", self._body(chunk))

    def _body(self, said: Dict[str, Any]) -> Dict[str, Any]:
        version = {"protocol_major": 0, "protocol_minor": 1}
        return {"node_name": self._node, "run_id": self._id, **said, **version}

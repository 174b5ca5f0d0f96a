"""Carries signed reports to the server of the Shovey API, outside the loop, and brings the answers.

A few threads at most, so that one slow answer does not hold up other runs; the order of what one
run says is kept by the machine, which has one thing on its way at a time. Nothing is decided here.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from typing import Deque, List, Optional

from push_jobs_agent.actions import Answer, Put
from push_jobs_agent.config import Config

MOST_THREADS = 4


class Reporter:
    """A queue of reports and the threads that empty it.

    Args:
        config: the settings; a reload replaces them, which the next report notices.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._puts: "queue.SimpleQueue[Optional[Put]]" = queue.SimpleQueue()
        self._answers: Deque[Answer] = deque()
        self._lock = threading.Lock()
        self._open = 0
        self._threads: List[threading.Thread] = []
        self.fd, self._wake = os.pipe()
        for fd in (self.fd, self._wake):
            os.set_blocking(fd, False)

    def put(self, put: Put) -> None:
        """Send this as soon as possible."""
        with self._lock:
            self._open += 1
            busy = self._open > len(self._threads)
        if busy and len(self._threads) < MOST_THREADS:
            thread = threading.Thread(target=self._work, name="reporter", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._puts.put(put)

    def take(self) -> List[Answer]:
        """The answers since the last call."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        return answers

    def close(self, patience: float) -> None:
        """End; what is on its way may take ``patience`` seconds in all."""
        for _ in self._threads:
            self._puts.put(None)
        for thread in self._threads:
            thread.join(patience / len(self._threads))

    def _work(self) -> None:
        from push_jobs_agent.report_connection import ReportConnection

        config = self.config
        connection = ReportConnection(config)
        while True:
            put = self._puts.get()
            if put is None:
                connection.close()
                return
            if self.config is not config:
                connection.close()
                config = self.config
                connection = ReportConnection(config)
            self._answer(connection.put(put))

    def _answer(self, answer: Answer) -> None:
        with self._lock:
            self._open -= 1
        self._answers.append(answer)
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # it is awake already

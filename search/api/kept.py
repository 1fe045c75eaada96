"""Which answers hold for a while? Those that were made since this service last wrote, and not long ago: others write, too."""

import threading
import time
from collections.abc import Hashable
from typing import Any

_MOST = 1_000  # answers


class Kept:
    """Answers, by what was asked. Safe to use from several threads."""

    def __init__(self, seconds: float) -> None:
        """Keep answers for as long at the most."""
        self._seconds = seconds
        self._answers: dict[Hashable, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self.writes = 0  # so far

    def get(self, asked: Hashable) -> dict[str, Any] | None:
        """An answer that still holds; None if there is none."""
        with self._lock:
            at, answer = self._answers.get(asked, (float("-inf"), None))
            return answer if time.monotonic() < at + self._seconds else None

    def put(self, asked: Hashable, answer: dict[str, Any], writes: int) -> None:
        """Keep an answer, unless something was written since there were so many `writes`, when it was begun."""
        with self._lock:
            if writes == self.writes:
                if len(self._answers) >= _MOST:  # of tenants there may be many, and each may name others
                    self._answers.clear()
                self._answers[asked] = (time.monotonic(), answer)

    def forget(self) -> None:
        """Let none hold any more: something was written, and by which names it is read nobody knows."""
        with self._lock:
            self.writes += 1
            self._answers.clear()

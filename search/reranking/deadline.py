"""How much time is left? A monotonic budget, handed down from the caller to whatever may take long."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A point in time on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after_ms(cls, budget_ms: float) -> "Deadline":
        """The point `budget_ms` milliseconds from now."""
        return cls(time.monotonic() + budget_ms / 1000)

    @property
    def remaining_ms(self) -> float:
        """Milliseconds left, negative when it has passed."""
        return (self.at - time.monotonic()) * 1000

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.remaining_ms <= 0

"""How long a worker waits for what others have taken."""
from __future__ import annotations

import time

# Seconds between two looks.
POLL = 0.5


class Patience:
    """Lasts as long as the others finish something now and then.

    A worker that died on this host is noticed otherwise. One on another host cannot be seen from
    here: it is given ten times the longest run so far.

    Attributes:
        least: seconds that it lasts in any case.
    """
    least = 60.0

    def __init__(self) -> None:
        self._finished, self._since = -1, 0.0

    def lasts(self, finished: int, longest: float) -> bool:
        """Whether to look again in a moment.

        Args:
            finished: how much is finished by now.
            longest: seconds of the longest run so far.
        """
        now = time.monotonic()
        if finished != self._finished:
            self._finished, self._since = finished, now
        return now - self._since < max(self.least, 10 * longest)

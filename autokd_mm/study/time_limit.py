"""When a worker has to leave: after so many hours, or when it is asked to."""
from __future__ import annotations

import signal
import time
from typing import Any, Optional

from autokd_mm.errors import ConfigError

# This process began about now; what comes before the search counts too.
_START = time.monotonic()
_asked = False


def ask_to_end(*_: Any) -> None:
    """Begin nothing new in this process. A handler of signals."""
    global _asked
    _asked = True


def listen() -> None:
    """SIGUSR1, with which Slurm warns: finish the trial under way, then end. SIGTERM: end now, as
    Ctrl-C does; the trial under way is run again by another worker."""
    global _asked
    _asked = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, 'SIGUSR1'):
        signal.signal(signal.SIGUSR1, ask_to_end)


class TimeLimit:
    """
    Args:
        hours: from the start of the process; None: no limit.

    Raises:
        ConfigError: no number above 0.

    Attributes:
        stopped: it has been reached.
    """

    def __init__(self, hours: Optional[float] = None) -> None:
        if hours is not None and (isinstance(hours, bool) or not isinstance(hours, (int, float))
                                  or not 0 < hours < float('inf')):
            raise ConfigError(f'max_hours={hours!r}: must be a number of hours above 0, or None')
        self.hours = hours
        self.stopped = False

    def reached(self, expected: float = 0.0) -> bool:
        """Whether what takes ``expected`` seconds should not begin any more."""
        over = self.hours is not None and (
            time.monotonic() + expected - _START > self.hours * 3600)
        self.stopped = self.stopped or _asked or over
        return self.stopped

    def why(self) -> str:
        return ('this worker was asked to end' if _asked else
                f'max_hours={self.hours:g}: another run would not end in time')

"""The page beside the leaderboard while a search runs."""
from __future__ import annotations

import os
import time
from typing import Callable, Optional

from optuna.study import Study

from autokd_mm.page.render import PAGE, write_page

SECONDS = 60.0  # between two pages, at least
SHARE = 200  # times as long as writing took, nothing is written: half a percent of the time
_GUESS = 1.0  # seconds that the first page takes


class Page:
    """Writes the page now and then.

    Args:
        work_dir: of the search. study, final: its studies.
        say: told once why there is no page.
    """

    def __init__(self, work_dir: str, study: Study, final: Optional[Study],
                 say: Callable[[str], None]) -> None:
        self.path = os.path.join(work_dir, PAGE)
        self._studies, self._say = (work_dir, study, final), say
        self._cost, self._begun, self._failed = _GUESS, time.time(), False

    def keep(self) -> None:
        """Write it if the last one, of whatever worker, is old enough."""
        try:
            last = max(os.stat(self.path).st_mtime, self._begun)
        except OSError:
            last = self._begun
        if time.time() - last >= max(SECONDS, SHARE * self._cost):
            self.write(at_work=True)

    def write(self, at_work: bool = False) -> Optional[str]:
        """Write it now; returns its path, None where that failed: no search ends for its page.

        Args:
            at_work: the search goes on behind this, though no run is under way in this moment.
        """
        start = time.perf_counter()
        try:
            return write_page(*self._studies, at_work=at_work)
        except Exception as error:
            if not self._failed:
                reason = ' '.join(str(error).split()) or type(error).__name__
                self._say(f'{self.path} is not written: {reason}')
            self._failed = True
            return None
        finally:
            self._cost = time.perf_counter() - start

"""The folder that all workers of a search share."""
from __future__ import annotations

import glob
import os
from typing import Callable, ContextManager

from autokd_mm.study.lock import exclusive


class WorkDir:
    """Two locks and what dead workers have left.

    Args:
        path: of the folder, which is there.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def alone(self, waiting: Callable[[], None] = lambda: None) -> ContextManager[None]:
        """One worker at a time prepares (see :func:`~autokd_mm.study.lock.exclusive`).

        Args:
            waiting: called once if another worker does.
        """
        return exclusive(os.path.join(self.path, '.lock'), waiting)

    def turn(self) -> ContextManager[None]:
        """One worker at a time takes a trial, or writes what has been found."""
        return exclusive(os.path.join(self.path, '.turn.lock'))

    def sweep(self) -> None:
        """Remove the halves of files whose writers have died."""
        with self.turn():
            for left in glob.glob(os.path.join(glob.escape(self.path), '*.unfinished-*')):
                os.remove(left)

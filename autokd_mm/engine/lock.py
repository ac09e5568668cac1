"""One worker at a time."""
from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Callable, Iterator


@contextmanager
def exclusive(path: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file ``path``; it is free again when its holder ends, however it ends.

    Args:
        waiting: called once if another process holds it.
    """
    import fcntl
    with open(path, 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def workers() -> int:
    """How many workers share the work dir (set by ``dist_search.sh`` and ``slurm_search.sh``)."""
    return max(1, int(os.environ.get('AUTOKD_WORKERS', '1')))


def worker() -> int:
    """Number of this worker, from 0."""
    return int(os.environ.get('AUTOKD_WORKER', '0'))

"""One worker at a time."""
from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Callable, Iterator

from autokd_mm.errors import ConfigError
from autokd_mm.study.patience import patiently


@contextmanager
def exclusive(path: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file ``path``; it is free again when its holder ends, however it ends.

    Args:
        waiting: called once if another process holds it.

    Raises:
        StorageAway: its folder cannot be reached, for too long.
    """
    import fcntl
    with patiently(lambda: open(path, 'a')) as file:
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
    return max(1, _number('AUTOKD_WORKERS', 1))


def worker() -> int:
    """Number of this worker, from 0."""
    return _number('AUTOKD_WORKER', 0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit():
        raise ConfigError(f'{name}={text!r}: the environment variable must be a number, such as '
                          f'{default}')
    return int(text)

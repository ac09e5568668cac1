"""From ``sampler.experience`` of a config to the prior of a search."""
from __future__ import annotations

import os
from typing import Any, Callable, List, Mapping, Optional, Tuple

import numpy as np

from autokd_mm.errors import ConfigError, DataError, nearest
from autokd_mm.experience.file import Experience, read
from autokd_mm.experience.pooling import pool
from autokd_mm.experience.statistics import TaskStatistics
from autokd_mm.search.prior import Prior

DEFAULT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'default.json')
_KEYS = ('file', 'without')


def load_prior(given: Any, samples: Optional[float] = None,
               warn: Callable[[str], None] = lambda line: None,
               key: str = 'sampler.experience') -> Optional[Prior]:
    """What an experience says of a new task.

    Args:
        given: ``'default'``, a file, or ``dict(file=..., without=[names of tasks])``; None: no
            experience.
        samples: that the student will be trained on in one trial.
        warn: told of what does not fit.
        key: of the config, for errors.

    Raises:
        ConfigError: unknown key or task.
        DataError: the file cannot be used.
    """
    tasks = load_tasks(given, warn, key)
    if given is not None and not tasks:
        warn(f'{key}.without: leaves no task, so that the search begins without experience')
    try:
        return pool(tasks, samples) if tasks else None
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(f'{key}: its tasks contradict themselves or each other ({error})') from None


def load_tasks(given: Any, warn: Callable[[str], None] = lambda line: None,
               key: str = 'sampler.experience') -> List[TaskStatistics]:
    """The tasks of which an experience is made; arguments as for :func:`load_prior`."""
    if given is None:
        return []
    path, without = _read_config(given, key)
    found: Experience = read(DEFAULT if path == 'default' else os.path.expanduser(path), key)
    if found.left_out:
        warn(f'{key}: left out of {path}: {"; ".join(found.left_out)}')
    names = {task.name for task in found.tasks}
    for name in without:
        if name not in names:
            raise ConfigError(f'{key}.without: {nearest(name, sorted(names))}')
    return [task for task in found.tasks if task.name not in without]


def _read_config(given: Any, key: str) -> Tuple[str, List[str]]:
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given), []
    if not isinstance(given, Mapping):
        raise ConfigError(f"{key} must be 'default', a file, a dict like dict(file='default', "
                          f"without=['digits']) or None, got {given!r}")
    for name in given:
        if name not in _KEYS:
            raise ConfigError(f'{key}: {nearest(name, _KEYS)}')
    path, without = given.get('file', 'default'), given.get('without') or []
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f'{key}.file={path!r}: must be a file, or default')
    if not isinstance(without, (list, tuple)) or not all(isinstance(name, str) for name in without):
        raise ConfigError(f'{key}.without={without!r}: must be a list of names of tasks')
    return os.fspath(path), list(without)

"""An experience on disk: JSON, data only.

::

    {"format": "autokd_mm experience", "space": 1, "tasks": [
      {"name": "digits", "samples": 5120, "trials": 1804, "total": 739.9, "squares": 469.8,
       "about": {...},
       "options": [["logits", "'kl'"], ...],
       "counts": [[602], [0, 602], ...],      trials with both options, below the diagonal
       "sums": [[389.1], [0, 150.2], ...]}]}  of their standardised rewards

Everything is checked by hand when it is read: what does not fit is left out and named, and a file
of which nothing fits is refused.
"""
from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np

from autokd_mm.errors import ConfigError, DataError
from autokd_mm.experience.statistics import LEAST, TaskStatistics, contradict
from autokd_mm.search.node import OUTLIER
from autokd_mm.space import LEVELS
from autokd_mm.space.options import SPACE_VERSION
from autokd_mm.study.lock import exclusive
from autokd_mm.whole_file import whole_file

FORMAT = 'autokd_mm experience'
OWN = os.path.join('~', '.autokd_mm', 'experience.json')  # the user's own
LARGEST = 10 * 10**6  # bytes; that of a hundred tasks is smaller
_DIGITS = 4  # behind the point
_MOST_TRIALS = 10**9


class Experience(NamedTuple):
    """What a file says.

    Attributes:
        tasks: that fit.
        left_out: what does not, and why, each in a few words.
    """
    tasks: Tuple[TaskStatistics, ...]
    left_out: Tuple[str, ...] = ()


def write(path: str, tasks: Sequence[TaskStatistics]) -> None:
    """Write an experience, in one step.

    Raises:
        ConfigError: it cannot be written.
        DataError: a task could not be read again; what the file had stays.
    """
    texts = [json.dumps(_task(task), separators=(',', ':')) for task in tasks]
    for task, text in zip(tasks, texts):
        try:
            _fitting(_parsed(text), [])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f'experience: {task.name} cannot be kept ({error})') from None
    lines = ',\n'.join(texts)
    head = json.dumps(dict(format=FORMAT, space=SPACE_VERSION))[:-1]
    try:
        with whole_file(path, 'w', encoding='utf-8') as file:
            file.write(f'{head}, "tasks": [\n{lines}\n]}}\n')
    except OSError as error:
        raise ConfigError(f'experience: {path} cannot be written ({error.strerror})') from None


def read(path: str, key: str = 'experience') -> Experience:
    """Read an experience.

    Args:
        key: of the config or the command line, for errors.

    Raises:
        DataError: no file, or nothing in it fits.
    """
    try:
        size = os.path.getsize(path)
        if size > LARGEST:
            raise DataError(f'{key}: {path} has {size:,} bytes; no experience has more than '
                            f'{LARGEST:,}')
        with open(path, encoding='utf-8') as file:
            found = _parsed(file.read())
    except DataError:
        raise
    except OSError as error:
        raise DataError(f'{key}: {path} cannot be read ({error.strerror})') from None
    except (ValueError, RecursionError) as error:
        raise DataError(f'{key}: {path} is damaged, no JSON ({error})') from None
    if not isinstance(found, dict) or found.get('format') != FORMAT:
        raise DataError(f'{key}: {path} is no experience (its format is not {FORMAT!r})')
    if found.get('space') != SPACE_VERSION:
        raise DataError(f'{key}: {path} is of version {found.get("space")!r} of the space, '
                        f'this one is {SPACE_VERSION}; make it anew with tools/make_experience.py')
    tasks: List[TaskStatistics] = []
    left_out: List[str] = []
    listed = found.get('tasks')
    for place, task in enumerate(listed if isinstance(listed, list) else []):
        name = task.get('name') if isinstance(task, dict) else None
        try:
            tasks.append(_fitting(task, left_out))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f'{error.args[0]} is missing' if isinstance(error, KeyError) else error
            left_out.append(f'task {name if isinstance(name, str) else place} ({reason})')
    if not tasks:
        raise DataError(f'{key}: nothing in {path} can be used: '
                        + ('; '.join(left_out) or 'it has no tasks'))
    return Experience(tuple(tasks), tuple(left_out))


def remember(path: str, *added: TaskStatistics) -> int:
    """Add tasks to a file, which is made where there is none; what the file has of the same study
    already, as far as that was then, is replaced.

    Returns:
        How many studies and tables the file has now.

    Raises:
        DataError, ConfigError: the file is there and cannot be used, or cannot be written.
    """
    def study(one: TaskStatistics) -> Tuple[Any, ...]:
        told = [repr(one.about.get(key)) for key in ('study', 'began', 'file')]
        # A search that began then is the same under another name of its task.
        return tuple(told) if one.about.get('began') else (one.name, *told)

    folder, base = os.path.split(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        with exclusive(os.path.join(folder, f'.{base}.lock')):  # another search may end now
            new = {study(one) for one in added}
            tasks = [one for one in read_whole(path) if study(one) not in new] + list(added)
            write(path, tasks)
    except OSError as error:
        raise ConfigError(f'experience: {path} cannot be written ({error.strerror})') from None
    return len(tasks)


def read_whole(path: str) -> Tuple[TaskStatistics, ...]:
    """Read what is to be written again with more; nothing where there is no file.

    Raises:
        DataError: it cannot be read, or has what this version cannot use and would lose.
    """
    if not os.path.exists(path):
        return ()
    found = read(path)
    if found.left_out:
        raise DataError(f'experience: {path} has what this version cannot use, and would lose '
                        f'({"; ".join(found.left_out)}); name another file')
    return found.tasks


def _task(task: TaskStatistics) -> Any:
    def below(matrix: np.ndarray, digits: int) -> List[List[float]]:
        return [[_short(value, digits) for value in row[:place + 1]]
                for place, row in enumerate(matrix)]

    return dict(name=task.name, trials=task.trials,
                samples=None if task.samples is None else _short(task.samples, 0),
                total=round(task.total, _DIGITS), squares=round(task.squares, _DIGITS),
                about=dict(task.about), options=[list(option) for option in task.options],
                counts=below(task.counts, 0), sums=below(task.sums, _DIGITS))


def _short(value: float, digits: int) -> float:
    rounded = round(float(value), digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _parsed(text: str) -> Any:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # some package sets a million, and brackets end the process
    try:
        return json.loads(text, parse_constant=_no_number)
    finally:
        sys.setrecursionlimit(limit)


def _no_number(text: str) -> float:
    raise ValueError(f'{text} is no number')


def _fitting(task: Any, left_out: List[str]) -> TaskStatistics:
    """A task as it was written, without the options that the space has not.

    Raises:
        KeyError, TypeError, ValueError: it cannot have been written so.
    """
    options = [_option(option) for option in task['options']]
    if len(set(options)) < len(options):
        raise ValueError('an option stands there twice')
    counts, sums = _matrix(task['counts'], len(options)), _matrix(task['sums'], len(options))
    trials = _number(task['trials'], LEAST)
    if trials > _MOST_TRIALS:
        raise ValueError(f'{trials:g} trials are more than a search has')
    alone = np.diag(counts)
    if (counts > np.minimum(alone[:, None], alone) + 1e-9).any() or (alone > trials).any():
        raise ValueError('counts of pairs or options are above those of what they are part of')
    if (counts < 0).any() or (sums < -1e-3).any() or (sums > OUTLIER * counts + 1e-3).any():
        raise ValueError('counts or sums are out of range')
    total, squares = _number(task['total'], 0.0), _number(task['squares'], 0.0)
    if total > OUTLIER * trials or not total**2 / trials <= squares + 1e-2 <= OUTLIER * total + 1:
        raise ValueError('total and squares do not fit each other')
    if contradict(counts, sums, trials, total, squares):
        raise ValueError('counts and sums do not fit each other')
    known = [place for place, (level, _) in enumerate(options) if level in LEVELS]
    unknown = sorted({level for level, _ in options if level not in LEVELS})
    name, about, samples = task['name'], task.get('about') or {}, task.get('samples')
    if samples is not None and 0 <= _number(samples, -math.inf) < 1:
        samples = None  # of a share of the images, which once was counted as images
    if not isinstance(name, str) or not isinstance(about, dict):
        raise TypeError('name or about is of another kind')
    low, high = about.get('reward') or (0.0, 1.0)
    if _number(low, -math.inf) >= _number(high, -math.inf):
        raise ValueError('its rewards have no range')
    if unknown:
        left_out.append(f'levels {", ".join(unknown)} of task {name}')
    if not known:
        raise ValueError('it has no option of this space')
    order = np.ix_(known, known)
    return TaskStatistics(name, tuple(options[place] for place in known), counts[order],
                          sums[order], int(trials), total, squares,
                          None if samples is None else _number(samples, 1.0), about)


def _option(option: Any) -> Tuple[str, str]:
    level, choice = option
    if not isinstance(level, str) or not isinstance(choice, str):
        raise TypeError('an option is of another kind')
    return level, choice


def _matrix(rows: Any, size: int) -> np.ndarray:
    if len(rows) != size or any(len(row) != place + 1 for place, row in enumerate(rows)):
        raise ValueError('counts or sums have another size than options')
    matrix = np.zeros((size, size))
    for place, row in enumerate(rows):
        matrix[place, :place + 1] = [_number(value, -math.inf) for value in row]
    return matrix + np.tril(matrix, -1).T


def _number(value: Any, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) \
            or not math.isfinite(value) or value < least:
        raise ValueError(f'{str(value)[:40]} is not a number'
                         + (f' of at least {least:g}' if least > -math.inf else ''))
    return float(value)

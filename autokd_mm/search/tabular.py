"""A table of trained distillers as an objective: a search replayed in milliseconds per trial.

Format of a table (made by ``tools/benchmarks/make_table.py``): CSV, gzipped; the first lines begin
with ``# `` and hold one JSON object with the keys ``space`` (options by level), ``shapes`` (the
fields of :class:`~autokd_mm.space.Shapes`), ``baseline`` (by seed, what the undistilled student
measured) and, of a part of a space, ``distillers``; then one row for each distiller and seed with
its ``index`` in ``distillers``, without these in ``DistillerSpace(space, shapes).enumerate()``,
``seed``, ``state`` and what was measured.

A benchmark of this kind is known from architecture search: Ying et al., "NAS-Bench-101", ICML 2019.
"""
from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from dataclasses import fields
from itertools import islice
from random import Random
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.search.reward import DEFAULT_WITHOUT_METRIC, Outcome, Reward, terms_for
from autokd_mm.search.reading import REASON
from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes, level_of
from autokd_mm.space.spec import UNNAMED

_NUMBERS = {field.name for field in fields(Outcome) if field.name != 'curve'}


class Failed(CandidateFailed, RuntimeError):
    """The distiller failed when the table was made; optimise with ``catch=(Failed, )``."""


class Table:
    """The rewards in a table file.

    Args:
        path: of the file.
        reward: from outcomes to rewards; without one that of a search with ``reward='auto'``.

    Attributes:
        about: the JSON object at the top.
        reward: that was given, or taken.
        space: the space whose distillers are in the table.
        indices: places of the distillers that have rows, in the list of the table or in
            ``space.enumerate()``, sorted.
        specs: these distillers.
        rewards: one row for each of ``indices``, one column for each seed; NaN where it failed.
        truth: mean reward over the seeds; a failure counts as the worst reward of the table.
        seconds: what each run took; shaped as ``rewards``.

    Raises:
        ConfigError: the file is no such table, or a reward has a term that it lacks.
    """

    def __init__(self, path: str, reward: Optional[Reward] = None) -> None:
        self.about, rows = _read(path)
        self.space = DistillerSpace(self.about['space'], Shapes(**self.about['shapes']))
        baselines = {int(seed): _outcome(row) for seed, row in self.about['baseline'].items()}
        reward = self.reward = reward or _usual(list(baselines.values()))
        seeds = {seed: column for column, seed in enumerate(sorted(baselines))}
        found: Dict[int, List[float]] = {}
        seconds: Dict[Tuple[int, int], float] = {}
        for row in rows:
            index, seed = int(row['index']), int(row['seed'])
            if seed not in seeds:
                raise ConfigError(f'{path}: no baseline of seed {seed}')
            seconds[index, seed] = float(row.get('seconds') or 'nan')
            values = found.setdefault(index, [math.nan] * len(seeds))
            if row['state'] == 'complete':
                try:
                    values[seeds[seed]] = reward(_outcome(row), baselines[seed])
                except ValueError as error:
                    raise ConfigError(f'{path}: distiller {index}: {error}') from None
        self.indices = sorted(index for index in found
                              if all((index, seed) in seconds for seed in seeds))
        if not self.indices:
            raise ConfigError(f'{path}: no distiller has all of its {len(seeds)} seeds')
        self.rewards = np.array([found[index] for index in self.indices])
        self.seconds = np.array([[seconds[index, seed] for seed in sorted(seeds)]
                                 for index in self.indices])
        self.specs = self._distillers(path)
        worst = np.nanmin(self.rewards)
        self.truth = np.where(np.isnan(self.rewards), worst, self.rewards).mean(axis=1)

    def _distillers(self, path: str) -> List[DistillerSpec]:
        listed = self.about.get('distillers')
        if listed is None:
            wanted = set(self.indices)
            found = [spec for index, spec in enumerate(self.space.enumerate()) if index in wanted]
        else:
            found = [DistillerSpec.from_dict(listed[index]) for index in self.indices
                     if index < len(listed)]
        if len(found) < len(self.indices):
            raise ConfigError(f'{path}: row of distiller {self.indices[-1]}, which the table does '
                              'not have')
        return found


class _Question(NamedTuple):
    """One question of the table's tree, and what follows each answer: a question or a place."""
    name: str
    choices: Tuple[Any, ...]
    below: Dict[Any, Union['_Question', int]]


class TabularObjective:
    """An objective for ``study.optimize`` that looks its value up; higher is better.

    It asks what ``DistillerSpace.suggest`` asks. Where the table has only a part of the space,
    options without a row below them are not offered.

    Args:
        table: of rewards.
        seed: decides by trial number which of the table's seeds a trial gets to see, so that a
            trial is as noisy as a real one.
    """

    def __init__(self, table: Table, seed: int = 0) -> None:
        self.table = table
        self.truth = table.truth
        self.seed = seed
        self._root = tree_of(table)

    def place(self, trial: Any) -> int:
        """The place in ``truth`` that the trial's answers lead to."""
        node: Union[_Question, int] = self._root
        while isinstance(node, _Question):
            node = node.below[trial.suggest_categorical(node.name, node.choices)]
        return node

    def value(self, place: int, number: int) -> float:
        """What trial ``number`` sees of a distiller; NaN if that failed."""
        return float(self.table.rewards[place, self._column(number)])

    def duration(self, place: int, number: int) -> float:
        """Seconds that trial ``number`` takes."""
        return float(self.table.seconds[place, self._column(number)])

    def _column(self, number: int) -> int:
        return int(Random(f'{self.seed}/{number}').random() * self.table.rewards.shape[1])

    def __call__(self, trial: Any) -> float:
        """Raises Failed where the table says so."""
        value = self.value(self.place(trial), trial.number)
        if math.isnan(value):
            trial.set_user_attr(REASON, 'failed')
            raise Failed('this distiller failed when the table was made')
        return value


def tree_of(table: Table) -> Union[_Question, int]:
    """The questions that lead to the rows of a table.

    Raises:
        ConfigError: a distiller of its list is not in its space.
    """
    asked = [_Recorder(table.space, spec).asked for spec in table.specs]
    for spec, answers in zip(table.specs, asked):
        for name, offered, value in answers:
            if value not in offered:
                raise ConfigError(f'{spec.in_words()}: {level_of(name)}={value!r} is not in the '
                                  'space of the table')
    return _tree(asked, list(range(len(asked))), 0)


def _tree(paths: Sequence[List[Tuple[str, Tuple[Any, ...], Any]]], places: List[int],
          depth: int) -> Union[_Question, int]:
    if depth == len(paths[places[0]]):
        return places[0]
    name, offered, _ = paths[places[0]][depth]
    split: Dict[Any, List[int]] = {}
    for place in places:
        split.setdefault(paths[place][depth][2], []).append(place)
    below = {choice: _tree(paths, split[choice], depth + 1)
             for choice in offered if choice in split}
    if len(below) == 1:
        return next(iter(below.values()))
    if len(below) < len(offered):
        name = f'{level_of(name)}({"|".join(map(str, below))})'
    return _Question(name, tuple(below), below)


class _Recorder:
    """Stands for a trial that answers with a distiller, and keeps what was asked."""

    def __init__(self, space: DistillerSpace, spec: DistillerSpec) -> None:
        self.asked: List[Tuple[str, Tuple[Any, ...], Any]] = []
        self._values = dict(UNNAMED, **spec.to_dict())
        space.suggest(self)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._values[level_of(name)]
        self.asked.append((name, tuple(choices), value))
        return value


def _usual(baselines: Sequence[Outcome]) -> Reward:
    known = [one.metric for one in baselines if math.isfinite(one.metric)]
    return Reward(terms_for(sum(known) / len(known)) if known else DEFAULT_WITHOUT_METRIC)


def _outcome(row: Mapping[str, Any]) -> Outcome:
    numbers: Dict[str, Any] = {
        name: math.nan if row.get(name) in (None, '') else float(row[name]) for name in _NUMBERS}
    return Outcome(**numbers)


def _read(path: str) -> Tuple[Dict[str, Any], List[Dict[str, str]]]:
    try:
        with gzip.open(path, 'rt', newline='') as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(f'{path}: not a gzipped table ({error})') from None
    n_comments = next((n for n, line in enumerate(lines) if not line.startswith('# ')), len(lines))
    try:
        about = json.loads('\n'.join(line[2:] for line in islice(lines, n_comments)))
        missing = {'space', 'shapes', 'baseline'} - set(about)
    except (ValueError, TypeError) as error:
        raise ConfigError(f'{path}: no JSON object behind the "# " at the top ({error})') from None
    if missing:
        raise ConfigError(f'{path}: the JSON at the top lacks {", ".join(sorted(missing))}')
    rows = list(csv.DictReader(lines[n_comments:]))
    lacking = {'index', 'seed', 'state'} - set(rows[0] if rows else ())
    if lacking:
        raise ConfigError(f'{path}: the table lacks the columns {", ".join(sorted(lacking))}')
    return about, rows

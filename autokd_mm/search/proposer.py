"""Whole paths that look good to a Gaussian process, beside what the model of options draws.

The model of options adds effects up, on a scale on which all but the better values are the same.
What it cannot see, options that are good only together and a second region of good values, a
Gaussian process over whole paths does (see :mod:`~autokd_mm.search.gaussian_process`). It looks at
a hundred trials and costs much more than a draw, so it is asked for some trials only. It does not
see that numbers are close to each other, and leaves spaces with ranges to the draw.
"""
from bisect import insort
from random import Random
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.gaussian_process import GaussianProcess
from autokd_mm.search.grammar import Path

if TYPE_CHECKING:
    from autokd_mm.search.option_model import OptionModel

_KNOWS = 10  # trials behind which it is asked at all
_MOST = 100  # trials it looks at; behind them it is asked the less often the more there are
_PATHS = 300  # to begin with: half of them new, half alike to one of
_GOOD = 10  # the best trials
_ROUNDS, _CLIMB, _BESIDE = 3, 5, 64  # of the best paths, so many that differ in one answer
_LONGEST = 128  # questions of a trial that it looks at
_FENCE, _HIGH = 1.5, 10.0  # how many quartiles' distances a value may be off


class Told(NamedTuple):
    """A finished trial; the best come first."""
    failed: bool
    loss: float
    number: int
    path: Path

    @property
    def value(self) -> Optional[float]:
        return None if self.failed else -self.loss


class Proposer:
    """Remembers finished trials, and says which path to try.

    Args:
        model: which options there are, and what was asked after them.
    """

    def __init__(self, model: 'OptionModel') -> None:
        self._model = model
        self._trials: List[Told] = []
        self._longest, self._numbers = 1, False
        self._known: Dict[Path, Optional[List[int]]] = {}  # what is offered after a path

    def add(self, path: Path, value: Optional[float], number: Optional[int] = None) -> None:
        """Count a finished trial, in any order.

        Args:
            path: features of its options, behind the 0 of the root.
            value: higher is better; None: as poor as they come.
            number: of the trial.
        """
        insort(self._trials, Told(value is None, -value if value is not None else 0.0,
                                  len(self._trials) if number is None else number, path))
        self._longest = max(self._longest, len(path))
        self._numbers = self._numbers or any(map(self._model.is_part, path))

    def is_asked(self, share: float, rng: Random) -> bool:
        """Whether the next trial is one of the ``share`` of all that go by a proposal."""
        count = len(self._trials)
        if not share or count < _KNOWS or self._numbers or self._longest > _LONGEST:
            return False
        return rng.random() < share * min(1.0, _MOST / count)

    def propose(self, rng: Random) -> List[Path]:
        """The paths looked at, by how much they are expected to improve on the best."""
        trials, self._known = self._looked_at(), {}
        questions = {question for one in trials for question in self._questions(one.path)}
        columns = {question: place for place, question in enumerate(sorted(questions))}
        process = GaussianProcess(self._answers([one.path for one in trials], columns),
                                  _standardised([one.value for one in trials]))
        good = [one.path for one in self._trials[:_GOOD] if not one.failed]
        scores: Dict[Path, float] = {}
        paths = [self._path((0, ), rng) if number % 2 or not good else
                 self._like(good[int(rng.random() * len(good))], rng) for number in range(_PATHS)]
        for _ in range(_ROUNDS + 1):
            new = [path for path in dict.fromkeys(paths) if path is not None and path not in scores]
            if not new:
                break
            scores.update(zip(new, process.expected_improvement(self._answers(new, columns))))
            top = sorted(scores, key=lambda path: -scores[path])[:_CLIMB]
            paths = [path for one in top for path in self._beside(one, rng)]
        return sorted(scores, key=lambda path: -scores[path])

    def _looked_at(self) -> List[Told]:
        """All trials, or of very many the best ones and some of the others, by number."""
        best, others = self._trials[:_MOST // 2], self._trials[_MOST // 2:]
        if len(self._trials) > _MOST:
            left = _MOST - len(best)
            others = [others[place * len(others) // left] for place in range(left)]
        return sorted(best + others, key=lambda one: one.number)

    # ------------------------------------------------------------------ answers
    def _questions(self, path: Path) -> List[Tuple[str, int]]:
        """What its features answer: the question, and how often it was asked before."""
        asked: Dict[str, int] = {}
        found = []
        for feature in path[1:]:
            name = self._model.key(feature)[0]
            asked[name] = asked.get(name, -1) + 1
            found.append((name, asked[name]))
        return found

    def _answers(self, paths: Sequence[Path], columns: Dict[Tuple[str, int], int]) -> np.ndarray:
        """Of shape (paths, questions); -1 where a question is not asked."""
        answers = np.full((len(paths), len(columns)), -1)
        for row, path in enumerate(paths):
            for question, feature in zip(self._questions(path), path[1:]):
                if question in columns:
                    answers[row, columns[question]] = feature
        return answers

    # ------------------------------------------------------------------ paths
    def _path(self, path: Path, rng: Random, like: Path = (), change: float = 0.0
              ) -> Optional[Path]:
        """Go on to an end by chance, or by the options of another path, but for so many of them;
        None where nobody knows what is asked."""
        taken, kept = list(path), frozenset(like)
        while True:
            offered = self._offered(taken)
            if offered is None:
                return None
            if not offered or len(taken) == self._longest:
                return tuple(taken)
            beside = like[len(taken)] if len(taken) < len(like) else 0
            same = beside if beside in offered else next(filter(kept.__contains__, offered), None)
            if same is None or (change and rng.random() < change):
                same = offered[int(rng.random() * len(offered))]
            taken.append(same)

    def _like(self, path: Path, rng: Random) -> Optional[Path]:
        """With one to three other answers on average."""
        return self._path((0, ), rng, path, (1 + int(3 * rng.random())) / max(len(path) - 1, 1))

    def _beside(self, path: Path, rng: Random) -> List[Optional[Path]]:
        """With one other answer."""
        heads = [path[:place] + (other, ) for place in range(1, len(path))
                 for other in self._offered(path[:place]) or () if other != path[place]]
        while len(heads) > _BESIDE:
            heads.pop(int(rng.random() * len(heads)))
        return [self._path(head, rng, path) for head in heads]

    def _offered(self, path: Sequence[int]) -> Optional[List[int]]:
        """In the order of their names: numbers depend on who was told of which trial first."""
        grammar = self._model.grammar
        state = tuple(path[-grammar.reach(path[-1]):])
        if state not in self._known:
            offered = grammar.offered(state)
            self._known[state] = None if offered is None else sorted(
                (option for option, _ in offered), key=self._model.key)
        return self._known[state]


def _standardised(values: Sequence[Optional[float]]) -> np.ndarray:
    """Mean 0 and variance 1. What is far below the others, or no value, counts as just below, what
    is very far above them as less."""
    known = np.sort([value for value in values if value is not None])
    if not len(known):
        return np.zeros(len(values))
    unit = max(float(np.abs(known).max()), np.finfo(float).tiny)  # differences stay finite
    known = known / unit
    quartile, upper = (known[int(share * (len(known) - 1))] for share in (0.25, 0.75))
    apart = upper - quartile
    if not apart:  # most values tie
        off = np.abs(known - quartile)
        apart = np.median(off[off > 0]) if off.any() else 1.0
    lowest = quartile - _FENCE * apart
    z = np.array([lowest if value is None else value / unit for value in values])
    z = np.clip(z, lowest, upper + _HIGH * apart)
    deviation = z.std()
    return (z - z.mean()) / deviation if deviation > 0 else np.zeros(len(z))

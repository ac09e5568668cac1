"""The posterior of very many effects, in the square of their number for each trial.

The Cholesky factor of :mod:`~autokd_mm.search.option_model` costs the cube. Here the inverse of
the precision A = D + X'X follows each trial (Sherman and Morrison, Ann. Math. Stat. 1950), and a
draw needs no factor of it: A^-1 (D^1/2 e + X' f) with standard normal e, f has the covariance A^-1
(Papandreou and Yuille, NIPS 2010, "Gaussian Sampling by Local Perturbations").
"""
import math
from array import array
from typing import Dict, List, Sequence, Tuple

import numpy as np

_DRIFT = 1000  # updates behind which the inverse is made anew


class WideInverse:
    """Rows of options that trials took, and the inverse of the precision of the effects."""

    def __init__(self) -> None:
        self._rows: Dict[int, Tuple[int, ...]] = {}  # by number of the trial
        self._new: List[Tuple[Tuple[int, ...], int]] = []
        self._inverse: np.ndarray = np.zeros((0, 0))
        self._age = 0
        self._buffer = self._inverse
        self._last = -math.inf  # number of the last row of the design
        self._design = array('q'), array('q')  # features, and which row each belongs to

    def add(self, number: int, row: Sequence[int]) -> None:
        """Trial ``number`` took the options of ``row``."""
        self._rows[number] = tuple(row)
        self._new.append((self._rows[number], +1))
        if number > self._last:
            self._append(number, len(self._rows) - 1)
        else:
            self._last = math.inf  # made anew for the next draw

    def remove(self, number: int) -> None:
        """It does not count any more."""
        self._new.append((self._rows.pop(number), -1))
        self._last = math.inf

    def _append(self, number: int, place: int) -> None:
        row, (features, places) = self._rows[number], self._design
        features.extend(row)
        places.extend([place] * len(row))
        self._last = number

    def inverse(self, gram: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """(D + X'X)^-1.

        Args:
            gram: X'X as of the last trial.
            precision: diagonal of D.
        """
        size, before = len(precision), len(self._inverse)
        if not before or self._age + len(self._new) > _DRIFT:
            self._inverse, self._age = np.linalg.inv(gram + np.diag(precision)), 0
        else:
            if size > before:  # what no trial has taken is known by its prior alone
                wider = np.diag(1.0 / precision)
                wider[:before, :before] = self._inverse
                self._inverse = wider
            for row, sign in self._new:
                index = list(row)
                moved = self._inverse[:, index].sum(1)
                moved /= np.sqrt(abs(1.0 + sign * moved[index].sum()))
                if self._buffer.shape != self._inverse.shape:
                    self._buffer = np.empty_like(self._inverse)
                np.multiply(moved[:, None], sign * moved, out=self._buffer)
                self._inverse -= self._buffer
            self._age += len(self._new)
        self._new = []
        return self._inverse

    def draw(self, precision: np.ndarray, order: np.ndarray,
             rng: np.random.RandomState) -> np.ndarray:
        """Effects of mean zero and this covariance; the same in whatever order trials came.

        Args:
            order: of the features by their names.
        """
        if self._last == math.inf:
            self._design = array('q'), array('q')
            for place, number in enumerate(sorted(self._rows)):
                self._append(number, place)
        normal = np.empty(len(order))
        normal[order] = rng.standard_normal(len(order))
        features, places = (np.array(column) for column in self._design)
        noise = rng.standard_normal(len(self._rows))
        pull = np.bincount(features, noise[places], len(order)) + np.sqrt(precision) * normal
        return self._inverse @ pull

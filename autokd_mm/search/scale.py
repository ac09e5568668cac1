"""The scale on which the values of trials are compared.

**One scale.** A value v is seen as ``clip((v - low) / (high - low), 0, 1)``, where ``high`` is the
best value so far and ``low`` the lower quartile (an order statistic, not interpolated). So the
exploration constant has no unit: ``a * v + b`` with a > 0 gives the same tree. ``low`` is not the
minimum, because one diverged candidate (reward -1e6) would then squash all others into one point
and the search would turn into a uniform one; a quarter of the trials may diverge without harm.
At the upper end hardly anything is clipped: an unusually good value is what we look for. But what
stands further above the best 5 % than ten times their distance from ``low`` is no find, it is a
fault (1e30, a metric in another unit): it counts as 2, and ``high`` is the best of the others.

**Exact sums.** Sums are :class:`fractions.Fraction`: a tree grown trial by trial, in any order of
finishing, is bit for bit the one rebuilt from the storage, and a value can leave a sum again (when
the quartile moves past it) without leaving rounding errors behind.
"""
import math
from bisect import bisect_left, bisect_right, insort
from fractions import Fraction
from typing import List, Optional, Tuple

from autokd_mm.search.node import OUTLIER, Sums

LOW_QUANTILE = Fraction(1, 4)
_FEW = 20  # one of so many may be an outlier
_LEAST = 6  # fewer values do not say how far apart they lie
_FAR = 10.0  # distances from the low quantile to the best value that is surely none

Record = Tuple[float, int, List[Sums]]  # value, serial number, what the value is added to


class Scale:
    """All values, and the range in which they count as themselves; below it they count as worst.

    Attributes:
        low, width: of the range, in the unit of the values.
    """

    def __init__(self) -> None:
        self.low = self.width = Fraction(0)
        self._squares = Fraction(0)  # of the values in the range
        self._values: List[Record] = []  # sorted; the first ``_n_clipped`` count as worst
        self._n_clipped = 0
        self._n_outliers = 0  # of the last ones

    def add(self, value: float, sums: List[Sums]) -> None:
        """Take in one more value, and let it count in ``sums``, where it is one of the worst."""
        record = (value, len(self._values), sums)
        place = bisect_left(self._values, record)
        if place < self._n_clipped:
            self._n_clipped += 1
        else:
            self._move(record, +1)
            if place > len(self._values) - self._n_outliers:
                self._n_outliers += 1
                self._cast(record, +1)
        insort(self._values, record)
        self._move_range()

    def _move_range(self) -> None:
        """Let ``low`` follow the quartile; the values it passes change sides."""
        values = self._values
        k = int(LOW_QUANTILE * (len(values) - 1))
        self._cast_out(values[k][0])
        high = values[len(values) - self._n_outliers - 1][0]
        if values[k][0] == high:
            # Most values tie at the best: keep best and second best apart.
            k = max(bisect_left(values, (high, )) - 1, 0)
        # A value equal to ``low`` is 0 on the scale on either side, so that ties do not matter.
        while self._n_clipped < k:
            self._move(values[self._n_clipped], -1)
            self._n_clipped += 1
        while self._n_clipped > k:
            self._n_clipped -= 1
            self._move(values[self._n_clipped], +1)
        self.low = Fraction(values[k][0])
        self.width = Fraction(high) - self.low

    def _cast_out(self, low: float) -> None:
        """Let the values that are too far above the others count as outliers, and only those."""
        values = self._values
        surely = values[max(len(values) - 1 + (-len(values) // _FEW), 0)][0]
        far = _FAR * (surely - low) if len(values) >= _LEAST else 0.0
        limit = surely + far if far > 0 else math.inf
        count = len(values) - bisect_right(values, (limit, math.inf))
        while self._n_outliers < count:
            self._n_outliers += 1
            self._cast(values[-self._n_outliers], +1)
        while self._n_outliers > count:
            self._cast(values[-self._n_outliers], -1)
            self._n_outliers -= 1

    def _cast(self, record: Record, out: int) -> None:
        """Let a value count as an outlier (+1) or as itself again (-1)."""
        self._move(record, -out)
        for sums in record[2]:
            sums.worst -= out
            sums.outliers += out

    def _move(self, record: Record, into: int) -> None:
        """Let a value count as itself (+1) or as the worst one (-1) on all of its path."""
        value = Fraction(record[0])
        change = into * value
        self._squares += change * value
        for sums in record[2]:
            sums.total += change
            sums.scored += into
            sums.worst -= into

    def squares(self, everything: Sums) -> float:
        """Sum of the squares of all values on the scale.

        Args:
            everything: the sums that all values have been added to.
        """
        low, width = self.low, self.width
        if not width:
            return 0.0
        return float((self._squares - 2 * low * everything.total + everything.scored * low * low)
                     / (width * width)) + OUTLIER**2 * everything.outliers

    def mean(self, sums: Sums) -> Optional[float]:
        """In the unit of the values, the worst ones as ``low`` and outliers as far above it as they
        count; None where there are none."""
        if not sums.visits or not self._values:
            return None
        cut = self.low + OUTLIER * self.width
        return float((sums.total + sums.worst * self.low + sums.outliers * cut) / sums.visits)

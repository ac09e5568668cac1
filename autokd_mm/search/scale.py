"""The scale on which the values of trials are compared.

**One scale.** A value v is seen as ``clip((v - low) / (high - low), 0, 1)``, where ``high`` is the
best value so far and ``low`` the lower quartile (an order statistic, not interpolated). So the
exploration constant has no unit: ``a * v + b`` with a > 0 gives the same tree. ``low`` is not the
minimum, because one diverged candidate (reward -1e6) would then squash all others into one point
and the search would turn into a uniform one; a quarter of the trials may diverge without harm.
Nothing is clipped at the upper end: an unusually good value is what we look for.

**Exact sums.** Sums are :class:`fractions.Fraction`: a tree grown trial by trial, in any order of
finishing, is bit for bit the one rebuilt from the storage, and a value can leave a sum again (when
the quartile moves past it) without leaving rounding errors behind.
"""
from bisect import bisect_left, insort
from fractions import Fraction
from typing import List, Optional, Tuple

from autokd_mm.search.node import Sums

LOW_QUANTILE = Fraction(1, 4)

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

    def add(self, value: float, sums: List[Sums]) -> None:
        """Take in one more value, and let it count in ``sums``, where it is one of the worst."""
        record = (value, len(self._values), sums)
        clipped = bisect_left(self._values, record) < self._n_clipped
        insort(self._values, record)
        if clipped:
            self._n_clipped += 1
        else:
            self._move(record, +1)
        self._move_range()

    def _move_range(self) -> None:
        """Let ``low`` follow the quartile; the values it passes change sides."""
        values = self._values
        high = values[-1][0]
        k = int(LOW_QUANTILE * (len(values) - 1))
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
                     / (width * width))

    def mean(self, sums: Sums) -> Optional[float]:
        """In the unit of the values, the worst ones as ``low``; None where there are none."""
        if not sums.visits or not self._values:
            return None
        return float((sums.total + sums.worst * self.low) / sums.visits)

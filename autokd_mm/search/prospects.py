"""What options are worth under one draw of the effects: their own, and the best that may follow.

What is below an option that nobody took here is guessed from what was asked after it elsewhere.
"""
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.search.grammar import Path, Table
from autokd_mm.search.option_model import OptionModel


class Prospects:
    """One draw of the effects, and the sums of effects along the paths that may come.

    Args:
        model: which options there are, and what was asked after them.
        effects: one number for each feature of ``model``.
    """

    def __init__(self, model: OptionModel, effects: List[float]) -> None:
        self._model = model
        self._effects = effects
        self._table: Optional[Table] = None
        self._tails: List[float] = []
        self._known: Dict[Tuple[Path, Sequence[Optional[int]]], List[Tuple[float, float]]] = {}

    def grow(self) -> None:
        """What another worker has found since the draw counts as the mean of the prior."""
        self._effects += [0.0] * (len(self._model) - len(self._effects))

    def worth(self, path: Path, features: Sequence[Optional[int]]) -> List[Tuple[float, float]]:
        """The effect of each option behind a path, and the best that can follow it."""
        state = self._model.grammar.state(path)
        key = (state, tuple(features))
        worth = self._known.get(key)
        if worth is None:
            tails = [None if feature is None else self._tail(state + (feature, ))
                     for feature in features]
            # What may follow an option that nobody took: the best that follows one beside it.
            guess = max([tail for tail in tails if tail is not None], default=0.0)
            worth = self._known[key] = [
                (0.0 if feature is None else self._effect(state[-1], feature),
                 guess if tail is None else tail) for feature, tail in zip(features, tails)]
        return worth

    def _effect(self, before: int, feature: int) -> float:
        pair = self._model.pair(before, feature)
        return self._effects[feature] + (0.0 if pair is None else self._effects[pair])

    def _tail(self, path: Path) -> Optional[float]:
        """The best that can follow, by what was offered after such paths elsewhere; None where
        nobody knows."""
        grammar = self._model.grammar
        if not self._model.look_ahead:
            return 0.0
        state = grammar.state(path)
        table = grammar.table()
        if table is not self._table:  # at first, and when another worker has found something new
            self._table, self._tails = table, self._look_ahead(table)
        place = table.places.get(state)
        if place is None:
            return None if grammar.offered(state) is None else 0.0
        return self._tails[place]

    def _look_ahead(self, table: Table) -> List[float]:
        """The best sum of effects behind each state, from the ends backwards."""
        effects = np.array(self._effects)
        tails = np.zeros(len(table.places) + 2)
        tails[-1] = -np.inf  # nobody knows
        for level in table.levels:
            after = tails[level.after]
            guess = np.maximum.reduceat(after, level.start)
            guess[guess == -np.inf] = 0.0
            after = np.where(after == -np.inf, np.repeat(guess, level.width), after)
            worth = effects[level.option]
            if self._model.pairs:
                pairs = [self._model.pair(*two) for two in zip(level.before, level.option)]
                worth = worth + [0.0 if pair is None else effects[pair] for pair in pairs]
            end = level.first + len(level.start)
            tails[level.first:end] = np.maximum.reduceat(worth + after, level.start)
        return tails.tolist()

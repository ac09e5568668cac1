"""Who takes part in the final round, and how long: ``train_cfg.final_round``."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, List, Mapping, Optional, Union

from autokd_mm.errors import ConfigError
from autokd_mm.search.reward import Reward
from autokd_mm.space.checks import read_settings, whole_number
from autokd_mm.study.ladder import LEFT, Step, cheapest, cost, halved, ladder, possible

_LEAST = dict(best=1, handcrafted=0, length=1, rungs=1, seeds=1, budget=1)
ALL = 'all'


@dataclass(frozen=True)
class FinalSettings:
    """Who takes part in the final round, and how long.

    Attributes:
        best: so many of the best finished distillers, different ones.
        handcrafted: so many of ``warm_start`` take part at least: the best of them join where too
            few are among those. ``'all'``: every one that was not rejected; so it is with a
            budget, unless it says otherwise.
        length: the proxy's epochs times this.
        rungs: with more than one, everybody runs at a shorter length first, and the better half
            goes on to twice that, up to ``length``.
        seeds: runs of each, with other initial weights, masks and orders than the trials had: a
            distiller that was lucky there is not lucky here again.
        budget: of all runs together, the undistilled student's among them, in lengths of the
            proxy; it replaces ``rungs``. All begin at one length with one seed, as long as the
            budget allows; the better half goes on to twice that, until two are left, which run
            with all seeds at ``length``. Where not even the shortest beginning is within it, those
            that did worst on the proxy are left out.
        reward: that chooses the winner, in a config the weights of its terms; ``None``: that of
            the search. Where these runs are about as long as the full training,
            ``dict(metric=1)`` asks for what that training is for.
    """
    best: int = 5
    handcrafted: Union[int, str] = 1
    length: int = 4
    rungs: int = 1
    seeds: int = 2
    reward: Optional[Reward] = None
    budget: Optional[int] = None

    @property
    def lengths(self) -> List[int]:
        """Of the rungs, rising: ``length``, half of it, a quarter ..."""
        return [-(-self.length // 2 ** rung) for rung in range(self.rungs)][::-1]

    @property
    def possible_steps(self) -> List[Step]:
        """Every step on which somebody can stand in the end."""
        if self.budget is None:
            return [Step(length, self.seeds) for length in self.lengths]
        return possible(halved(self.length)[::-1], self.seeds)

    def steps(self, entrants: int) -> List[Step]:
        """The rungs for so many distillers; with a budget for which these are too many, none."""
        if self.budget is None:
            return self.possible_steps
        return ladder(entrants, self.length, self.seeds, self.budget) or []

    def least_budget(self, entrants: int) -> int:
        """With which so many can take part."""
        return cheapest(entrants, self.length, self.seeds)

    def expected_length(self, entrants: int) -> int:
        """Of all runs together, in lengths of the proxy."""
        if self.budget is not None:
            steps = self.steps(entrants)
            return cost(entrants, steps) if steps else self.budget
        total = 0
        for length in self.lengths:
            total += (1 + entrants) * length * self.seeds
            entrants = math.ceil(entrants / 2)
        return total

    def least_handcrafted(self, there: int) -> int:
        """How many hand-crafted distillers take part at least, of those that are there."""
        return there if self.handcrafted == ALL else min(int(self.handcrafted), there)

    @classmethod
    def from_config(cls, config: Any) -> Optional['FinalSettings']:
        """From ``train_cfg.final_round``; ``None`` where it is switched off.

        Raises:
            ConfigError: unknown key, or a value out of range.
        """
        values = read_settings('final_round', config, cls)
        if values is None:
            return None
        for name, value in values.items():
            if name == 'handcrafted' and isinstance(value, str) and value != ALL:
                raise ConfigError(f'final_round.handcrafted={value!r}: must be a whole number, or '
                                  f"'{ALL}' of them")
            if name in _LEAST and (name, value) not in (('handcrafted', ALL), ('budget', None)):
                whole_number(f'final_round.{name}', value, _LEAST[name])
        _refuse_more_rungs(values)
        reward = Reward(values.get('reward'), 'final_round.reward')
        settings = cls(**dict(values, reward=reward if values.get('reward') else None))
        if settings.budget is None:
            return settings
        if 'rungs' in values:
            raise ConfigError('final_round.rungs: with final_round.budget the number of rungs '
                              'follows from it; leave one of the two out')
        if not settings.steps(LEFT):
            raise ConfigError(f'final_round.budget={settings.budget}: too small for two distillers '
                              f'and the undistilled student, which need at least '
                              f'{settings.least_budget(LEFT)} at final_round.length='
                              f'{settings.length} with final_round.seeds={settings.seeds}')
        return settings if 'handcrafted' in values else replace(settings, handcrafted=ALL)


def _refuse_more_rungs(values: Mapping[str, Any]) -> None:
    """Two rungs of one length would be the same runs."""
    most = values.get('length', FinalSettings.length).bit_length()
    if values.get('rungs', 1) > most:
        raise ConfigError(f'final_round.rungs={values["rungs"]}: lengths are halved from rung to '
                          f'rung, and final_round.length has at most {most}')

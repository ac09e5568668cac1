"""Who takes part in the final round, and how long: ``train_cfg.final_round``."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Union

from autokd_mm.errors import ConfigError
from autokd_mm.search.reward import Reward
from autokd_mm.space.checks import read_settings, whole_number

_LEAST = dict(best=1, handcrafted=0, length=1, rungs=1, seeds=1)
ALL = 'all'


@dataclass(frozen=True)
class FinalSettings:
    """Who takes part in the final round, and how long.

    Attributes:
        best: so many of the best finished distillers, different ones.
        handcrafted: so many of ``warm_start`` take part at least: the best of them join where too
            few are among those. ``'all'``: every one that was not rejected.
        length: the proxy's epochs times this.
        rungs: with more than one, everybody runs at a shorter length first, and the better half
            goes on to twice that, up to ``length``.
        seeds: runs of each, with other initial weights, masks and orders than the trials had: a
            distiller that was lucky there is not lucky here again.
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

    @property
    def lengths(self) -> List[int]:
        """Of the rungs, rising: ``length``, half of it, a quarter ..."""
        return [-(-self.length // 2 ** rung) for rung in range(self.rungs)][::-1]

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
            if name in _LEAST and (name, value) != ('handcrafted', ALL):
                whole_number(f'final_round.{name}', value, _LEAST[name])
        _refuse_more_rungs(values)
        reward = Reward(values.get('reward'), 'final_round.reward')
        return cls(**dict(values, reward=reward if values.get('reward') else None))


def _refuse_more_rungs(values: Mapping[str, Any]) -> None:
    """Two rungs of one length would be the same runs."""
    most = values.get('length', FinalSettings.length).bit_length()
    if values.get('rungs', 1) > most:
        raise ConfigError(f'final_round.rungs={values["rungs"]}: lengths are halved from rung to '
                          f'rung, and final_round.length has at most {most}')

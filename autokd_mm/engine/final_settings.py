"""Who takes part in the final round, and how long: ``train_cfg.final_round``."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from autokd_mm.search.reward import Reward
from autokd_mm.space.checks import read_settings, whole_number

_LEAST = dict(best=1, handcrafted=0, length=1, seeds=1)


@dataclass(frozen=True)
class FinalSettings:
    """Who takes part in the final round, and how long.

    Attributes:
        best: so many of the best finished distillers, different ones.
        handcrafted: so many of ``warm_start`` take part at least: the best of them join where too
            few are among those.
        length: the proxy's epochs times this.
        seeds: runs of each, with other initial weights, masks and orders than the trials had: a
            distiller that was lucky there is not lucky here again.
        reward: that chooses the winner, in a config the weights of its terms; ``None``: that of
            the search. Where these runs are about as long as the full training,
            ``dict(metric=1)`` asks for what that training is for.
    """
    best: int = 5
    handcrafted: int = 1
    length: int = 4
    seeds: int = 2
    reward: Optional[Reward] = None

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
            if name in _LEAST:
                whole_number(f'final_round.{name}', value, _LEAST[name])
        reward = Reward(values.get('reward'), 'final_round.reward')
        return cls(**dict(values, reward=reward if values.get('reward') else None))

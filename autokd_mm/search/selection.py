"""How one choice is made below a node: pure functions of the statistics of the choices.

New policies (PUCT, shared statistics, ...) belong here: a function from options to one score per
option. The tree does not change, and neither does the glue to Optuna.
"""
import math
from random import Random
from typing import List, Sequence

from autokd_mm.search.tree import Option

# Scores closer than this are a tie. Values lie in [0, 1], so that this is far above rounding
# (a * v + b is not exact in floating point) and far below any difference that matters.
_TIE = 1e-9


def uct(options: Sequence[Option], exploration: float) -> List[float]:
    r"""UCT score of each option.

    .. math:: u_i = Q_i + c \sqrt{\ln N / n_i}, \qquad N = \sum_i n_i

    ``Q_i``: mean value in [0, 1]; ``n_i``: visits, running trials included; ``c``: exploration.
    Source: Kocsis and Szepesvari, "Bandit based Monte-Carlo Planning", ECML 2006, with the bias
    :math:`2 C_p \sqrt{\ln t / s}`, so that c = 2 C_p. The default c = 0.5 equals
    :math:`s \sqrt{2 \ln N / n}` at s = 1 / (2 sqrt 2), the constant known from the Auto-KD family
    (ICCV 2023); MCT-NAS (CVPR 2021) uses the same rule after a uniform warm-up.

    Args:
        options: every one with ``visits`` > 0.
        exploration: c >= 0, without unit.
    """
    log_total = math.log(max(sum(option.visits for option in options), 1.0))
    return [option.value + exploration * math.sqrt(log_total / option.visits)
            for option in options]


def explorable(options: Sequence[Option]) -> List[int]:
    """Indices of the options that can still give something new; all if none can."""
    return [i for i, option in enumerate(options) if not option.closed] or list(range(len(options)))


def uniform(options: Sequence[Option], rng: Random) -> int:
    """One of the options that can still give something new, each with equal probability."""
    return draw(explorable(options), rng)


def select(options: Sequence[Option], exploration: float, rng: Random) -> int:
    """Expansion, roll-out and selection in one rule.

    1. Options with nothing new below them are left out (unless that is all there is).
    2. Of those that nobody has visited, one at random: expansion; and, as nothing below a new
       node has been visited, the uniform roll-out too.
    3. Otherwise the highest UCT score, ties at random.
    """
    indices = explorable(options)
    unvisited = [i for i in indices if not options[i].visits]
    if unvisited:
        return draw(unvisited, rng)
    visited = [i for i, option in enumerate(options) if option.visits]
    scores = dict(zip(visited, uct([options[i] for i in visited], exploration)))
    best = max(scores[i] for i in indices)
    return draw([i for i in indices if scores[i] >= best - _TIE], rng)


def draw(indices: Sequence[int], rng: Random) -> int:
    """One of ``indices``. Only ``Random.random()`` is promised to be the same in all Pythons."""
    return indices[int(rng.random() * len(indices))]

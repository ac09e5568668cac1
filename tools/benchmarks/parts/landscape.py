"""Synthetic rewards over the real tree of distillers, to develop samplers on before a real table.

A distiller's value is the sum of a random effect of each of its options and a weaker one of each
pair of options, standardised over the whole space; a trial sees it with noise. Real rewards are
smoother in the numeric levels and have dead regions, so a landscape shows that a sampler uses
what options have in common, not that it finds good distillers.
"""
from functools import lru_cache

import numpy as np

from autokd_mm.space import LEVELS, DistillerSpace
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.start import START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS

# Levels that are asked where there is something to be asked.
RARE = SCHEDULE_LEVELS + TEACHER_LEVELS + PREDICTION_LEVELS + START_LEVELS
# One connector, no mask extras: 126,684 distillers.
SPACE = dict(connector=('identity', ))


@lru_cache(maxsize=2)
def coded(space):
    """Every distiller of ``space`` as a row of option numbers, 0 where a level is not asked, or is
    a constant schedule or the student's own start. What is not offered of these has no column, so
    that landscapes are those from before there were any."""
    asked = [level for level, _ in space.levels()]
    levels = [level for level in LEVELS
              if level in asked or level not in RARE]
    numbers = [{None: 0, **{option: i + 1 for i, option in enumerate(space.options[level])}}
               for level in levels]
    rows = [[number[getattr(spec, level)] for level, number in zip(levels, numbers)]
            for spec in space.enumerate()]
    return np.array(rows, dtype=np.int8)


class Landscape:
    """A noisy objective for ``study.optimize``; higher is better.

    Args:
        seed: of the effects and, with ``noise_seed``, of the noise.
        interaction: standard deviation of a pair's effect in units of an option's.
        noise: standard deviation of one trial, in standard deviations of the values.
        noise_seed: of the noise, drawn by trial number.
    """

    def __init__(self, seed, interaction=0.3, noise=0.3, noise_seed=0, space=None):
        self.space = space or default_space()
        codes = coded(self.space)
        self.values = effects(codes, np.random.RandomState(seed), interaction)
        self.index = _index(self.space)
        self.noise, self.noise_seed = noise, noise_seed

    @property
    def truth(self):
        """The value of each distiller, in the order of ``space.enumerate()``."""
        return self.values

    def place(self, trial):
        """Where the distiller that the trial chooses stands in ``truth``."""
        return self.index[self.space.suggest(trial)]

    def value(self, place, number):
        """What trial ``number`` sees of it."""
        draw = np.random.RandomState([self.noise_seed, number])
        return float(self.values[place] + self.noise * draw.standard_normal())

    def duration(self, place, number):
        """Seconds that trial ``number`` takes: between one and two."""
        return 1.0 + np.random.RandomState([self.noise_seed, number, 1]).random_sample()

    def __call__(self, trial):
        return self.value(self.place(trial), trial.number)


def effects(codes, rng, interaction):
    """The standardised sum of all effects for each row of ``codes``."""
    sizes = codes.max(axis=0) + 1
    values = np.zeros(len(codes))
    for i, size in enumerate(sizes):
        values += _table(rng, (size, ), 1.0)[codes[:, i]]
        for j in range(i):
            table = _table(rng, (size, sizes[j]), interaction)
            values += table[codes[:, i], codes[:, j]]
    return (values - values.mean()) / values.std()


def _table(rng, shape, scale):
    """Normal effects; none of a level that is not asked."""
    table = scale * rng.standard_normal(shape)
    for axis in range(len(shape)):
        table[(slice(None), ) * axis + (0, )] = 0.0
    return table


@lru_cache(maxsize=1)
def default_space():
    return DistillerSpace(SPACE)


@lru_cache(maxsize=2)
def _index(space):
    return {spec: i for i, spec in enumerate(space.enumerate())}

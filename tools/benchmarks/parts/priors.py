"""An experience as a prior, and what a prior may be that is wrong."""
from random import Random

from autokd_mm.experience import load_prior
from autokd_mm.experience.sources import samples_of
from autokd_mm.search import Belief, Prior
from autokd_mm.search.tabular import Table

NAMES = ('no prior', 'experience', 'negated', 'shuffled', 'unrelated')


def read(path, without, table):
    """What the experience says of the table's task."""
    proxy = Table(table).about['proxy'] if table else None
    return load_prior(dict(file=path, without=without), samples_of(proxy))


def named(name, right, seed):
    """One of :data:`NAMES`: none, the experience, or a wrong one of the same strength, another for
    each seed: every effect negated, effects dealt out anew to the options, or effects of nothing at
    all, drawn with the spread of the right ones."""
    if name in NAMES[:2]:
        return right if name == 'experience' else None
    keys = sorted(right.options)
    means, rng = [right.options[key].mean for key in keys], Random(seed)
    spread = (sum(mean**2 for mean in means) / len(means))**0.5
    if name == 'negated':
        wrong = [-mean for mean in means]
    elif name == 'shuffled':
        wrong = rng.sample(means, len(means))
    else:
        wrong = [rng.gauss(0, spread) for _ in keys]
    return Prior({key: Belief(mean, right.options[key].worth) for key, mean in zip(keys, wrong)})

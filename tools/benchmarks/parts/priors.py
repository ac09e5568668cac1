"""An experience as a prior, and what a prior may be that is wrong."""
from random import Random

from autokd_mm.experience import load_prior
from autokd_mm.experience.sources import samples_of
from autokd_mm.search import Belief, Prior
from autokd_mm.search.tabular import Table


def kinds(path, without, table):
    """By name: no prior, what the experience says of the table's task, and three wrong ones of the
    same strength: every effect negated, effects dealt out anew to the options, and effects of
    nothing at all, drawn with the spread of the right ones."""
    proxy = Table(table).about['proxy'] if table else None
    right = load_prior(dict(file=path, without=without), samples_of(proxy))
    keys = sorted(right.options)
    means = [right.options[key].mean for key in keys]
    dealt, spread = list(means), (sum(mean**2 for mean in means) / len(means))**0.5
    Random(0).shuffle(dealt)
    rng = Random(1)

    def wrong(values):
        return Prior({key: Belief(value, right.options[key].worth)
                      for key, value in zip(keys, values)})

    return {'no prior': None, 'experience': right, 'negated': wrong([-mean for mean in means]),
            'shuffled': wrong(dealt), 'unrelated': wrong([rng.gauss(0, spread) for _ in keys])}

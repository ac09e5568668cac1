"""Tables of other fields, and made-up functions: objectives for samplers that know no distiller.

A table is JSON in gzip: ``questions``, a list of ``[name, choices]``; ``leaves``, one for each
configuration, the pairs ``question, taken, question, taken, ...`` in the order of asking;
``rewards``, one for each leaf: its value for each seed, or null where it is invalid.
"""
import gzip
import json
import math
from itertools import product
from random import Random

import numpy as np

SIZE = 12  # binary questions of xor and needle


class Leaves:
    """A noisy objective over given paths; higher is better.

    Args:
        questions: name and choices of each.
        leaves: of each the pairs ``question, taken, ...``.
        rewards: of each its value for each seed; None: invalid.
        noise: standard deviation that is added to a value.

    Attributes:
        truth: the mean over the seeds of each leaf, the worst value where it is invalid.
        seed: of what a trial sees, by its number.
    """

    def __init__(self, questions, leaves, rewards, noise=0.0, seed=0):
        self.rewards, self.noise, self.seed = rewards, noise, seed
        worst = min(min(one) for one in rewards if one)
        self.truth = np.array([np.mean(one) if one else worst for one in rewards])
        self._questions = [(name, tuple(choices)) for name, choices in questions]
        self._root = {}
        for place, leaf in enumerate(leaves):
            node = self._root
            for question, taken in zip(leaf[:-2:2], leaf[1:-2:2]):
                node = node.setdefault(question, {}).setdefault(taken, {})
            node.setdefault(leaf[-2], {})[leaf[-1]] = place

    def place(self, trial):
        """Where the leaf that the trial chooses stands in ``truth``."""
        node = self._root
        while isinstance(node, dict):
            (question, below), = node.items()
            name, choices = self._questions[question]
            offered = tuple(choices[taken] for taken in sorted(below))
            node = below[choices.index(trial.suggest_categorical(name, offered))]
        return node

    def value(self, place, number):
        """What trial ``number`` sees of a leaf; NaN if that is invalid."""
        seen = self.rewards[place]
        rng = Random(f'{self.seed}/{number}')
        if not seen:
            return math.nan
        return seen[int(rng.random() * len(seen))] + self.noise * rng.gauss(0.0, 1.0)

    def duration(self, place, number):
        """Seconds that trial ``number`` takes: between one and two."""
        return 1.0 + Random(f'{self.seed}/{number}/duration').random()


def read(path):
    """The objective of a table."""
    with gzip.open(path, 'rt') as file:
        found = json.load(file)
    return Leaves(found['questions'], found['leaves'], found['rewards'])


def xor(seed):
    """Parity of two of twelve binary questions, and a little of each question's own."""
    rng = np.random.RandomState(seed)
    first, second = rng.choice(SIZE, 2, replace=False)
    own = 0.1 * rng.standard_normal(SIZE)
    return _binary(lambda taken: (taken[:, first] ^ taken[:, second]) + taken @ own, seed)


def needle(seed):
    """One of 4,096 is worth 1 more, each right option 0.1."""
    right = np.random.RandomState(seed).randint(0, 2, SIZE)
    return _binary(lambda taken: (taken == right).all(1) + 0.1 * (taken == right).sum(1), seed)


def families(seed):
    """Eight methods with three questions of their own each: 500 leaves a family."""
    rng = np.random.RandomState(seed)
    questions, leaves, values = [('family', tuple(range(8)))], [], []
    for family in range(8):
        effects = [rng.standard_normal(size) for size in (5, 10, 10)]
        base, first = 0.5 * rng.standard_normal(), len(questions)
        questions += [(f'{name}{family}', tuple(range(len(own))))
                      for name, own in zip('abc', effects)]
        for taken in product(*(range(len(own)) for own in effects)):
            leaves.append([0, family] + [n for place, choice in enumerate(taken)
                                         for n in (first + place, choice)])
            values.append(base + sum(own[choice] for own, choice in zip(effects, taken)))
    values = (np.array(values) - np.mean(values)) / np.std(values)
    return Leaves(questions, leaves, values[:, None].tolist(), 0.1, seed)


def _binary(value, seed):
    taken = np.array(list(product((0, 1), repeat=SIZE)))
    return Leaves([(f'q{place}', (0, 1)) for place in range(SIZE)],
                  [[n for pair in enumerate(row) for n in pair] for row in taken.tolist()],
                  value(taken)[:, None].tolist(), 0.1, seed)


SYNTHETIC = dict(xor=xor, needle=needle, families=families)

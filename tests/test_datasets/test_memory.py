"""Transforms begin each image as if it were the first one."""
import random
from collections import deque

import numpy as np
import torch
from mmengine.config import ConfigDict

from autokd_mm.datasets.memory import Memory


class Keeps:

    def __init__(self):
        self.images, self.queue, self.table = [], deque([1, 2], maxlen=2), {'a': [[]]}
        self.last, self.sums, self.names, self.count = None, np.zeros(3), {'x'}, 0
        self.config, self.function = ConfigDict(a=[1]), len


def test_what_is_kept_in_any_form_is_forgotten():
    changes = [lambda one: one.images.append(5), lambda one: one.queue.append(3),
               lambda one: one.table['a'][0].append(4), lambda one: one.sums.__iadd__(1),
               lambda one: one.names.add('y'), lambda one: setattr(one, 'last', [1]),
               lambda one: setattr(one, 'images', [1]), lambda one: setattr(one, 'more', [1]),
               lambda one: one.table.__setitem__('b', 1)]
    for change in changes:
        one = Keeps()
        memory = Memory([dict(steps=[one])])
        memory.forget()
        assert memory.kept == []
        for _ in range(2):
            change(one)
            memory.forget()
            fresh = Keeps()
            for name, value in vars(fresh).items():
                assert np.array_equal(getattr(one, name), value), name
            assert vars(one).keys() == vars(fresh).keys() and one.queue.maxlen == 2
            assert memory.kept == ['Keeps']


def test_counts_are_brought_back_without_a_word_and_other_objects_stay():
    one = Keeps()
    one.file = None
    memory = Memory([one])
    one.count, one.file = 7, object()
    memory.forget()
    assert one.count == 0 and one.file is not None and memory.kept == []


def test_generators_of_their_own_are_seeded():
    class Draws:

        def __init__(self):
            self.own = [np.random.default_rng(1), np.random.RandomState(2), random.Random(3),
                        torch.Generator()]

        def draw(self):
            return [self.own[0].random(), self.own[1].rand(), self.own[2].random(),
                    float(torch.rand(1, generator=self.own[3]))]

    one = Draws()
    memory = Memory([one])
    drawn = {}
    for seed in (5, 6, 5):
        memory.seed(seed)
        found = one.draw()
        assert drawn.setdefault(seed, found) == found
    assert all(a != b for a, b in zip(drawn[5], drawn[6]))

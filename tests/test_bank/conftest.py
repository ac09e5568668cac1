"""A small bank of numbers: 10 rows in shards of 4, 4 and 2."""
import numpy as np
import pytest

from autokd_mm.bank import FeatureBank, Plan

MADE_FROM = dict(teacher='abc', views=2, layers=('a', 'b'))


class Make:
    """Makes rows, and remembers which it was asked for."""

    def __init__(self):
        self.spans = []

    def __call__(self, start, stop):
        self.spans.append((start, stop))
        rows = np.arange(start, stop)
        return dict(feature=rows[:, None, None] * 6 + np.arange(6.).reshape(2, 3), labels=rows)


@pytest.fixture
def make():
    return Make()


@pytest.fixture
def plan():
    """(made_from, dtype) -> the plan."""
    return lambda made_from=MADE_FROM, dtype='float32': Plan(
        made_from, dict(feature=((10, 2, 3), dtype), labels=((10, ), np.int64)), rows_per_shard=4)


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'bank' / 'train'


@pytest.fixture
def open_bank(path, plan, make, warnings):
    """Open or build; ``made_from`` and ``dtype`` as of ``plan``."""
    return lambda *args, **how: FeatureBank.open_or_build(
        str(path), plan(*args, **how), make, warnings.append)

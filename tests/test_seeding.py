import random

import numpy as np
import torch

from autokd_mm.seeding import derive, seeded, seeded_on


def draws():
    return random.random(), np.random.rand(), float(torch.rand(1))


def test_derive_tells_keys_apart():
    keys = [(), (0, ), (1, ), (0, 0), (0, 1), (1, 0), (0, 0, 1)]
    seeds = [derive(*key) for key in keys if key]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [derive(*key) for key in keys if key]
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_same_draws_inside_whatever_came_before():
    with seeded(3, 1):
        first = draws()
    random.random(), np.random.rand(7), torch.rand(7)
    with seeded(3, 1):
        assert draws() == first
    with seeded(3, 2):
        assert all(a != b for a, b in zip(draws(), first))


def test_state_is_given_back_also_after_an_error():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = draws()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    try:
        with seeded(1):
            draws()
            raise KeyError
    except KeyError:
        pass
    assert draws() == expected


def test_also_on_a_device():
    """On a CPU: what ``seeded`` draws behind torch's own seed, and the state is given back."""
    before = torch.get_rng_state()
    with seeded_on(torch.device('cpu'), 3, 1):
        first = draws()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    with seeded_on(torch.device('cpu'), 3, 1):
        assert draws() == first

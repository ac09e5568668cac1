"""Random state that is set for a while and then given back."""
from __future__ import annotations

import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


def derive(*keys: int) -> int:
    """One 32-bit seed from several numbers, such as (seed, sample, view)."""
    # With their number, because SeedSequence takes (1, ) and (1, 0) for the same.
    return int(np.random.SeedSequence((len(keys), *keys)).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Seed ``random``, NumPy and torch (CPU); best in a :func:`seeded` block, which puts them
    aside."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(*keys: int) -> Iterator[None]:
    """Inside, ``random``, NumPy and torch (CPU) draw what the keys say, whatever came before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_all(derive(*keys))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@contextmanager
def seeded_on(device: torch.device, *keys: int) -> Iterator[None]:
    """:func:`seeded`, with the generator of ``device`` too where that is a GPU."""
    with torch.random.fork_rng([device] if device.type == 'cuda' else []), seeded(*keys):
        torch.manual_seed(derive(*keys))
        yield

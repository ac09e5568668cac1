"""Whether bfloat16 is worth it: a CPU without instructions for it only pretends."""
from __future__ import annotations

import time
from typing import Optional

import torch
from torch import nn

from autokd_mm.proxy.settings import ProxySettings

_RUNS = 3
_TOO_SLOW = 1.5  # times float32: far above what one measurement differs from another


def slow_precision(settings: ProxySettings, device: torch.device) -> Optional[str]:
    """A line about a ``proxy.precision`` that makes candidates slower here; ``None`` elsewhere.

    A convolution and its backward pass are timed in both precisions, some milliseconds each: which
    instructions a processor has, torch does not say in all of its versions.
    """
    if settings.precision != 'bfloat16' or device.type != 'cpu':
        return None
    with torch.random.fork_rng():
        full, half = seconds(torch.float32), seconds(torch.bfloat16)
    if half < _TOO_SLOW * full:
        return None
    return (f'proxy.precision=bfloat16: this CPU has no instructions for it, a convolution takes '
            f"{half / full:.0f} times as long as in float32; without the key candidates are faster")


def seconds(dtype: torch.dtype) -> float:
    """Of a convolution forward and backward under autocast, the best of a few runs."""
    layer, inputs, best = nn.Conv2d(16, 16, 3, padding=1), torch.zeros(8, 16, 32, 32), float('inf')
    for _ in range(_RUNS):
        start = time.perf_counter()
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = layer(inputs).float().sum()
        outputs.backward()
        best = min(best, time.perf_counter() - start)
    return best

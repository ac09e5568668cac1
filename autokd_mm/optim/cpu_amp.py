"""Mixed precision where there is no GPU."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from autokd_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """MMEngine's ``AmpOptimWrapper`` for bfloat16 on a CPU, which that class refuses.

    Autocast is the same; losses need no scaling, because bfloat16 has the range of float32.

    Args:
        dtype: in which the network computes.
        kwargs: of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype = getattr(torch, dtype)

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """In which the loss is computed."""
        with super().optim_context(model), torch.autocast('cpu', dtype=self.dtype):
            yield

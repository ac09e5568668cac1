"""mmcv's own functions, with the compiled extension and with the stand-in."""
import contextlib
import importlib
import pkgutil
from functools import lru_cache

import torch

from autokd_mm.ops.stand_in import StandIn

STAND_IN = StandIn('the compiled mmcv')


@lru_cache(maxsize=None)
def wrappers():
    """Modules of mmcv that call the extension; ours stands in for it from here on, if need be."""
    found = pkgutil.iter_modules(importlib.import_module('mmcv.ops').__path__)
    modules = [importlib.import_module(f'mmcv.ops.{one.name}') for one in found]
    return [module for module in modules if hasattr(module, 'ext_module')]


@contextlib.contextmanager
def stand_in_used():
    """Every wrapper of mmcv calls the stand-in."""
    before = [module.ext_module for module in wrappers()]
    for module in wrappers():
        module.ext_module = STAND_IN
    try:
        yield
    finally:
        for module, extension in zip(wrappers(), before):
            module.ext_module = extension


def both(function, *args):
    """What ``function`` returns with the compiled extension, and with the stand-in."""
    with_compiled = function(*args)
    with stand_in_used():
        return with_compiled, function(*args)


def gradients(function, *inputs):
    """Output and the gradients of a weighted sum of it, by the tensors of floats among inputs that
    have one."""
    leaves = [value.detach().clone().requires_grad_() if isinstance(value, torch.Tensor)
              and value.is_floating_point() else value for value in inputs]
    output = function(*leaves)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output).to(output)
    if output.requires_grad:
        (output * weights).sum().backward()
    return [output.detach()] + [leaf.grad for leaf in leaves
                                if isinstance(leaf, torch.Tensor) and leaf.grad is not None]


def random_boxes(generator, count, size):
    """Corners of boxes, some of them partly or wholly outside an image of ``size``, some empty."""
    center = (torch.rand(count, 2, generator=generator) * 1.6 - 0.3) * size
    extent = torch.rand(count, 2, generator=generator) ** 2 * size * 0.6
    extent[torch.rand(count, generator=generator) < 0.1] = 0
    return torch.cat([center - extent / 2, center + extent / 2], 1)

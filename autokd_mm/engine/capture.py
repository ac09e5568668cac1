"""Listening to named layers of a network."""
from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Dict, Iterator, Mapping

import torch
from torch import nn

from autokd_mm.space.errors import ConfigError


def find_layer(model: nn.Module, layer: str, key: str) -> nn.Module:
    """The sub-module called ``layer``.

    Args:
        key: config key for the message, such as ``layers.student``.

    Raises:
        ConfigError: there is none; shows the five nearest names.
    """
    modules = dict(model.named_modules())
    if layer in modules and layer:
        return modules[layer]
    close = get_close_matches(str(layer), [name for name in modules if name], n=5, cutoff=0.0)
    raise ConfigError(f'{key}: {type(model).__name__} has no layer {layer!r}; the nearest are '
                      f'{", ".join(close)}')


@contextmanager
def capture(model: nn.Module, layers: Mapping[str, str]) -> Iterator[Dict[str, torch.Tensor]]:
    """Fills the yielded dict with each layer's last output, by the name of its role.

    Args:
        layers: role -> module name, e.g. ``dict(feature='backbone.layer3')``.

    Raises:
        ConfigError: no such layer; or its output is not one tensor, or is overwritten in place
            by what follows it, so that nobody knows what would be compared.
    """
    outputs: Dict[str, torch.Tensor] = {}
    versions: Dict[str, int] = {}

    def keep(role: str) -> Any:

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs[role] = _tensor(output, f'layers.{role}', layers[role])
            versions[role] = outputs[role]._version

        return hook

    handles = [find_layer(model, layer, f'layers.{role}').register_forward_hook(keep(role))
               for role, layer in layers.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
    for role, output in outputs.items():
        if output._version != versions[role]:
            raise ConfigError(f'layers.{role}: the output of {layers[role]!r} is overwritten in '
                              'place by what follows it; name the block around it')


def _tensor(output: Any, key: str, layer: str) -> torch.Tensor:
    if isinstance(output, (tuple, list)) and len(output) == 1:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise ConfigError(f'{key}: {layer!r} returns a {type(output).__name__}, not one tensor')
    return output


def map_shape(output: torch.Tensor) -> tuple:
    """C x H x W of a batch of maps; a batch of vectors counts as D x 1 x 1."""
    shape = tuple(output.shape[1:])
    return shape + (1, ) * (3 - len(shape))

"""Listening to named layers of a network."""
from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.distillers import split_source


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
def capture(model: nn.Module, layers: Mapping[str, str],
            layouts: Optional[Mapping[str, Layout]] = None) -> Iterator[Dict[str, torch.Tensor]]:
    """Fills the yielded dict with each layer's output in the last forward pass, by its role.

    Args:
        layers: role -> module name, e.g. ``dict(feature='backbone.layer3')``; with an index for
            one tensor of a tuple, or one call of a module that is called several times
            (``'neck[2]'``).
        layouts: by role, how what is no N x C x H x W or N x D is read as a map.

    Raises:
        ConfigError: no such layer; or its output is not one tensor, or is overwritten in place
            by what follows it, so that nobody knows what would be compared.
    """
    outputs: Dict[str, torch.Tensor] = {}
    versions: Dict[str, int] = {}
    calls: Dict[str, int] = {}
    batch: Tuple[int, int] = (0, 0)

    def begin(module: nn.Module, inputs: Any) -> None:
        nonlocal batch
        if inputs and isinstance(inputs[0], torch.Tensor):
            batch = (int(inputs[0].shape[-2]), int(inputs[0].shape[-1]))
        for known in (outputs, versions, calls):
            known.clear()

    def keep(role: str, index: Optional[int]) -> Any:
        layout = (layouts or {}).get(role, Layout())

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[role] = calls.get(role, -1) + 1
            found = _pick(output, index, call, f'layers.{role}', layers[role])
            if found is not None:
                outputs[role] = layout.as_map(found, f'layers.{role}: {layers[role]!r}', batch)
                versions[role] = found._version

        return hook

    handles = [model.register_forward_pre_hook(begin)]
    for role, layer in layers.items():
        name, index = split_source(layer)
        handles.append(find_layer(model, name, f'layers.{role}').register_forward_hook(
            keep(role, index)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
    for role, output in outputs.items():
        if output._version != versions[role]:
            raise overwritten(f'layers.{role}', layers[role])


def overwritten(key: str, layer: str) -> ConfigError:
    return ConfigError(f'{key}: the output of {layer!r} is overwritten in place by what follows '
                       'it; name the block around it')


def _pick(output: Any, index: Optional[int], call: int, key: str,
          layer: str) -> Optional[torch.Tensor]:
    """The tensor that ``layer`` names; ``None`` where it belongs to another call."""
    several = isinstance(output, (tuple, list))
    if index is not None and several:
        if index >= len(output):
            raise ConfigError(f'{key}: {layer!r} is out of range, it returns {len(output)} '
                              'tensors')
        output = output[index]
    elif index is not None and index != call:
        return None
    elif several and len(output) == 1:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise ConfigError(f'{key}: {layer!r} returns a {type(output).__name__}, not one tensor')
    return output


def map_shape(output: torch.Tensor) -> tuple:
    """C x H x W of a batch of maps; a batch of vectors counts as D x 1 x 1."""
    shape = tuple(output.shape[1:])
    return shape + (1, ) * (3 - len(shape))

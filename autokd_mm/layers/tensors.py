"""The tensors at named layers, seen in one forward pass."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import as_map, find_layer, map_shape, overwritten
from autokd_mm.models.connectors.tokens import extra_tokens_of
from autokd_mm.models.distillers import split_source
from autokd_mm.models.heads import BoxLogits

# Name of the module, tensor, how often it had been written to.
_Version = Tuple[str, torch.Tensor, int]


class Found(NamedTuple):
    """A tensor at a named layer.

    Attributes:
        source: how it is named, with an index where the layer gives several.
        shape: C, H, W of one image.
        calls: the index counts the layer's calls, not the tensors that one call returns.
        tokens: of a transformer's output so many are no position of the map; else ``None``.
    """
    source: str
    shape: Tuple[int, int, int]
    calls: bool
    tokens: Optional[int] = None


@torch.no_grad()
def tensors_at(network: nn.Module, names: Mapping[str, Sequence[str]], inputs: torch.Tensor,
               samples: Optional[Sequence[Any]] = None) -> Dict[str, List[Found]]:
    """Run a network once and look at the tensors at the named layers.

    Args:
        names: key of ``layers`` -> names of modules, with an index where one tensor of several is
            meant (``'neck[2]'``).
        inputs: N x C x H x W, normalised.
        samples: data samples of the images, for networks that look at them.

    Returns:
        By the same keys, what each name stands for, one after the other.

    Raises:
        ConfigError: no such layer, it does not run, what it gives is no tensor for each image, an
            index out of range, or a tensor is overwritten in place behind the layer.
    """
    calls, versions = _heard(network, names, inputs, samples)
    for name, tensor, version in versions:
        if tensor._version != version:
            key = next(key for key, sources in names.items()
                       if name in [split_source(source)[0] for source in sources])
            raise overwritten(f'layers.{key}', name)
    return {key: [found for source in sources for found in _expand(
        f'layers.{key}', source, calls[split_source(source)[0]],
        _rows(network, split_source(source)[0], calls, len(inputs)),
        extra_tokens_of(network, split_source(source)[0]))] for key, sources in names.items()}


def _heard(network: nn.Module, names: Mapping[str, Sequence[str]], inputs: torch.Tensor,
           samples: Optional[Sequence[Any]]) -> Tuple[Dict[str, List[Any]], List[_Version]]:
    """The outputs of each named module, call by call, and its tensors as they were then."""
    calls: Dict[str, List[Any]] = {}
    versions: List[_Version] = []

    def keep(name: str) -> Any:

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            calls[name].append(output)
            versions.extend((name, tensor, tensor._version) for tensor in _several(output)
                            if isinstance(tensor, torch.Tensor))

        return hook

    handles = []
    for key, sources in names.items():
        for source in sources:
            name = split_source(source)[0]
            module = find_layer(network, name, f'layers.{key}')
            if name not in calls:
                calls[name] = []
                handles.append(module.register_forward_hook(keep(name)))
    network.eval()
    try:
        network(inputs, samples, mode='tensor')
    except ConfigError:
        raise
    except Exception:
        # A head may want more than images; it does not matter where nobody listens to it.
        if not all(calls.values()):
            raise
    finally:
        for handle in handles:
            handle.remove()
    return calls, versions


def _rows(network: nn.Module, name: str, calls: Mapping[str, Sequence[Any]], images: int) -> int:
    """Of a layer's output: one for each image, or as many as there are boxes."""
    boxes = isinstance(network.get_submodule(name), BoxLogits) and calls[name]
    return len(calls[name][0]) if boxes else images


def _expand(key: str, source: str, calls: Sequence[Any], images: int,
            extra_tokens: Optional[int]) -> List[Found]:
    """All tensors that ``source`` stands for."""
    name, index = split_source(source)
    if not calls:
        raise ConfigError(f'{key}: {name!r} does not run in a forward pass')
    once = len(calls) == 1
    tensors = _several(calls[0]) if once else list(calls)
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            what = '' if once else f'runs {len(calls)} times and '
            raise ConfigError(f'{key}: {name!r} {what}returns a {type(tensor).__name__}, not one '
                              'tensor or a tuple of tensors')
        if len(tensor) == images and tensor.dim() == 3:
            continue  # a transformer's tokens
        if tensor.dim() not in (2, 4) or len(tensor) != images:
            raise ConfigError(f'{key}: {name!r} gives a tensor of shape {tuple(tensor.shape)} for '
                              f'{images} images; it must be N x C x H x W or N x D')
    if index is not None and index >= len(tensors):
        raise ConfigError(f'{key}: {source!r} is out of range, {name!r} gives {len(tensors)} '
                          f'tensor{"s" * (len(tensors) > 1)}, the last is '
                          f'{name + f"[{len(tensors) - 1}]"!r}')
    plain = once and isinstance(calls[0], torch.Tensor)
    picked = range(len(tensors)) if index is None else [index]
    whole = index is None and plain
    return [Found(source if whole else f'{name}[{i}]',
                   map_shape(as_map(tensors[i], extra_tokens, key, name)),
                   not whole and (plain or not once),
                   extra_tokens if tensors[i].dim() == 3 else None) for i in picked]


def _several(output: Any) -> List[Any]:
    return list(output) if isinstance(output, (tuple, list)) else [output]

"""The tensors at named layers, seen in one forward pass."""
from __future__ import annotations

from contextlib import contextmanager
from typing import (Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence,
                    Tuple)

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import find_layer, map_shape, overwritten
from autokd_mm.layers.layouts import layout_of, says_channels_last, tensors_in
from autokd_mm.layers.padding import tell_size
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.connectors.tokens import extra_tokens_of
from autokd_mm.models.distillers import split_source
from autokd_mm.models.heads import BoxLogits
from autokd_mm.models.transforms.grids import Size, stride_of

# It works on a thousand boxes of an untrained network, in some heads with gigabytes of masks.
_ROI_HEAD = 'roi_head'
# Of a network whose parts do not fit each other, or its images.
_REFUSALS = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)
# Name of the module, tensor, how often it had been written to.
_Version = Tuple[str, torch.Tensor, int]


class Found(NamedTuple):
    """A tensor at a named layer.

    Attributes:
        source: how it is named, with an index where the layer gives several.
        shape: C, H, W of one image.
        calls: the index counts the layer's calls, not the tensors that one call returns.
        layout: how it is read as a map.
        stride: of the map in pixels; ``None`` where it is no map of the image.
        place: of the name that stands for it, in the list of names.
        alone: the name stands for no other.
    """
    source: str
    shape: Tuple[int, int, int]
    calls: bool
    layout: Layout = Layout()
    stride: Optional[int] = None
    place: int = 0
    alone: bool = True


class _Enough(Exception):
    """Nobody listens to what would run now."""


class _Heard(NamedTuple):
    """What the modules said.

    Attributes:
        calls: the outputs of each, call by call.
        versions: its tensors as they were then.
        images: (height, width) that its network has seen.
    """
    calls: Dict[str, List[Any]]
    versions: List[_Version]
    images: Dict[str, Size]


@torch.no_grad()
def tensors_at(network: nn.Module, names: Mapping[str, Sequence[str]], inputs: torch.Tensor,
               samples: Optional[Sequence[Any]] = None,
               dense: bool = False, key: str = 'model') -> Dict[str, List[Found]]:
    """Run a network once and look at the tensors at the named layers.

    Args:
        names: key of ``layers`` -> names of modules, with an index where one tensor of several is
            meant (``'neck[2]'``).
        inputs: N x C x H x W, normalised.
        samples: data samples of the images, for networks that look at them.
        dense: images may differ in size: tokens then have a stride and not a grid.
        key: of the network in the config, for messages.

    Returns:
        By the same keys, what each name stands for, one after the other.

    Raises:
        ConfigError: no such layer, it does not run, what it gives is no tensor for each image, an
            index out of range, or a tensor is overwritten in place behind the layer; or the
            network cannot take the images.
    """
    heard = _heard(network, names, inputs, samples, key)
    for name, tensor, version in heard.versions:
        if tensor._version != version:
            layer = next(layer for layer, sources in names.items()
                         if name in [split_source(source)[0] for source in sources])
            raise overwritten(f'layers.{layer}', name)
    return {layer: [found for place, source in enumerate(sources) for found in _expand(
        f'layers.{layer}', source, place, heard, network,
        _rows(network, split_source(source)[0], heard.calls, len(inputs)), dense)]
            for layer, sources in names.items()}


def _heard(network: nn.Module, names: Mapping[str, Sequence[str]], inputs: torch.Tensor,
           samples: Optional[Sequence[Any]], key: str) -> _Heard:
    heard = _Heard({}, [], {})

    def keep(name: str) -> Any:

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            heard.calls[name].append(output)
            heard.versions.extend((name, tensor, tensor._version) for tensor in _several(output)
                                  if isinstance(tensor, torch.Tensor))

        return hook

    def look(name: str) -> Any:

        def hook(module: nn.Module, args: Any) -> None:
            heard.images[name] = (int(args[0].shape[-2]), int(args[0].shape[-1]))

        return hook

    handles = []
    for layer, sources in names.items():
        for source in sources:
            name = split_source(source)[0]
            module = find_layer(network, name, f'layers.{layer}')
            if name not in heard.calls:
                heard.calls[name] = []
                handles.append(_network_of(network, name).register_forward_pre_hook(look(name)))
                handles.append(module.register_forward_hook(keep(name)))
    tell_size(samples, inputs)
    network.eval()
    try:
        with until_boxes(network, heard.calls):
            network(inputs, samples, mode='tensor')
    except ConfigError:
        raise
    except Exception as error:
        # A head may want more than images; it does not matter where nobody listens to it.
        if not all(heard.calls.values()):
            if isinstance(error, _REFUSALS) and not isinstance(error, torch.cuda.OutOfMemoryError):
                raise ConfigError(_cannot_take(key, network, error)) from error
            raise
    finally:
        for handle in handles:
            handle.remove()
    return heard


def _cannot_take(key: str, network: nn.Module, error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return (f'{key} ({type(network).__name__}): it cannot take an image of train_dataloader: '
            f'{text}; do its parts fit each other (in_channels, in_index, a neck), and its '
            'data_preprocessor the colours of the images?')


@contextmanager
def until_boxes(network: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """A pass through ``network`` ends where its RoI head begins, unless a layer of ``names`` is in
    it."""
    head = getattr(network, _ROI_HEAD, None)
    if head is None or any(name.split('.')[0] == _ROI_HEAD for name in names):
        yield
        return

    def forward(*args: Any, **kwargs: Any) -> None:
        raise _Enough

    head.forward = forward  # detectors call it by its name, where no hook hears of it
    try:
        yield
    except _Enough:
        pass
    finally:
        del head.forward


def _network_of(network: nn.Module, name: str) -> nn.Module:
    """Whose images a layer hears: of several teachers the one that it belongs to."""
    first = name.split('.')[0]
    if isinstance(network, Teachers) and first.isdigit():
        return network.get_submodule(first)
    return network


def _rows(network: nn.Module, name: str, calls: Mapping[str, Sequence[Any]], images: int) -> int:
    """Of a layer's output: one for each image, or as many as there are boxes."""
    boxes = isinstance(network.get_submodule(name), BoxLogits) and calls[name]
    return len(calls[name][0]) if boxes else images


def _expand(key: str, source: str, place: int, heard: _Heard, network: nn.Module, images: int,
            dense: bool) -> List[Found]:
    """All tensors that ``source`` stands for, the ``place``-th name of its list."""
    name, index = split_source(source)
    calls, image = heard.calls[name], heard.images[name]
    if not calls:
        part = f'{name}.{index}'
        hint = '' if index is None or part not in dict(network.named_modules()) else (
            f', did you mean {part!r}?')
        raise ConfigError(f'{key}: {name!r} does not run in a forward pass{hint}')
    once = len(calls) == 1
    tensors = {at: (tensor, grid) for at, tensor, grid in (
        tensors_in(calls[0]) if once else [(at, call, None) for at, call in enumerate(calls)])}
    for tensor, _ in tensors.values():
        if not isinstance(tensor, torch.Tensor):
            what = '' if once else f'runs {len(calls)} times and '
            raise ConfigError(f'{key}: {name!r} {what}returns a {type(tensor).__name__}, not one '
                              'tensor or a tuple of tensors')
        if len(tensor) == images and tensor.dim() == 3:
            continue  # a transformer's tokens
        if tensor.dim() not in (2, 4) or len(tensor) != images:
            raise ConfigError(f'{key}: {name!r} gives a tensor of shape {tuple(tensor.shape)} for '
                              f'{images} images; it must be N x C x H x W or N x D')
    if index is not None and index not in tensors:
        raise ConfigError(f'{key}: {source!r} is out of range, {name!r} gives {len(tensors)} '
                          f'tensor{"s" * (len(tensors) > 1)}, the last is '
                          f'{name + f"[{max(tensors)}]"!r}')
    plain = once and isinstance(calls[0], torch.Tensor)
    picked = list(tensors) if index is None else [index]
    whole = index is None and plain
    extra, last = extra_tokens_of(network, name), says_channels_last(network, name)
    result = []
    for i in picked:
        tensor, grid = tensors[i]
        layout = layout_of(tensor, extra, image, dense, grid, f'{key}: {name!r}', last)
        shape = map_shape(layout.as_map(tensor, f'{key}: {name!r}', image))
        stride = stride_of(shape[1:], image) if tensor.dim() > 2 else None
        result.append(Found(source if whole else f'{name}[{i}]', shape,
                            not whole and (plain or not once), layout, stride, place,
                            len(picked) == 1))
    return result


def _several(output: Any) -> List[Any]:
    return list(output) if isinstance(output, (tuple, list)) else [output]

"""How a tensor that was heard is laid out: a map, a map with its channels last, or tokens."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.transforms.grids import Size, stride_of

# Where nobody says how many tokens are no patches: squares of at least so many pixels that fill the
# image, and at most so many tokens besides.
_LEAST_PATCH, _MOST_EXTRA = 4, 8


def tensors_in(output: Any) -> List[Tuple[int, Any, Optional[Size]]]:
    """What a module returns: each item with its place, and with (rows, columns) where they come
    behind it, as behind the tokens of a Swin transformer's stages."""
    items = list(output) if isinstance(output, (tuple, list)) else [output]
    found: List[Tuple[int, Any, Optional[Size]]] = []
    place = 0
    while place < len(items):
        grid, used = _grid_behind(items[place], items[place + 1:])
        found.append((place, items[place], grid))
        place += 1 + used
    return found


def _grid_behind(item: Any, rest: Sequence[Any]) -> Tuple[Optional[Size], int]:
    """(rows, columns) of tokens, and how many of the items behind them say so."""
    if isinstance(item, torch.Tensor) and item.dim() == 3 and rest:
        several = isinstance(rest[0], (tuple, list))
        sides = rest[0] if several else rest[:2]
        if len(sides) == 2 and all(isinstance(side, int) for side in sides):
            return (int(sides[0]), int(sides[1])), 1 if several else 2
    return None, 0


def layout_of(tensor: torch.Tensor, extra_tokens: Optional[int], image: Size, dense: bool,
              grid: Optional[Size], what: str, last: bool = False) -> Layout:
    """How a tensor at a layer is read as a map.

    Args:
        tensor: N x D, N x L x D or with four dimensions.
        extra_tokens: what the modules around the layer say; ``None``: nothing.
        image: (height, width) in pixels of what the network has seen.
        dense: images may differ in size.
        grid: (rows, columns) of the tokens, where the layer says so.
        what: key and name of the layer, for the message.
        last: the network says that its maps have the channels last.

    Raises:
        ConfigError: nobody knows which tokens are patches, or they make no grid.
    """
    if tensor.dim() == 4:
        return Layout(channels_last=_channels_last(tensor.shape, image, last))
    if tensor.dim() != 3:
        return Layout()
    length = tensor.shape[1]
    if grid is None:
        extra_tokens, grid = _grid_of(length, extra_tokens, image)
    else:
        extra_tokens = length - grid[0] * grid[1]
    if extra_tokens is None:
        raise ConfigError(f'{what} gives a tensor of shape {tuple(tensor.shape)}, and no module '
                          'around it has num_extra_tokens or num_prefix_tokens, which would say '
                          'that these are the tokens of patches; name a layer that gives '
                          'N x C x H x W or N x D')
    if grid is None or (not dense and grid[0] == grid[1]):
        return Layout(extra_tokens)
    stride = stride_of(grid, image) if dense else None
    return Layout(extra_tokens, stride=stride) if stride else Layout(extra_tokens, grid)


def _grid_of(length: int, extra_tokens: Optional[int],
             image: Size) -> Tuple[Optional[int], Optional[Size]]:
    """Tokens that are no patches, and (rows, columns) of the others."""
    if extra_tokens is not None and length > extra_tokens:  # a class token alone is no map
        for stride in range(1, max(image) + 1):
            for grid in (_cells(image, stride), (image[0] // stride, image[1] // stride)):
                if grid[0] * grid[1] == length - extra_tokens:
                    return extra_tokens, grid
    # Nobody says it, or it is said of other tokens, as in front of a class token that comes late.
    for stride in range(_LEAST_PATCH, min(image) + 1):
        grid = _cells(image, stride)
        extra = length - grid[0] * grid[1]
        if extra >= 0 and image[0] % stride == 0 and image[1] % stride == 0:
            return (extra, grid) if extra <= _MOST_EXTRA else (extra_tokens, None)
    return extra_tokens, None


def _cells(image: Size, stride: int) -> Size:
    return -(-image[0] // stride), -(-image[1] // stride)


def _channels_last(shape: Sequence[int], image: Size, last: bool) -> bool:
    """The dimensions in front of the last fit the image, and the last two do not; where both fit,
    what the network says."""
    front = stride_of((shape[1], shape[2]), image) is not None
    return front and (last or stride_of((shape[2], shape[3]), image) is None)


def says_channels_last(network: nn.Module, layer: str) -> bool:
    """Whether a module around ``layer`` says so, as timm's do with ``output_fmt``."""
    module, found = network, False
    for part in layer.split('.'):
        module = getattr(module, part)
        told = getattr(module, 'output_fmt', None)
        found = found if told is None else str(told).split('.')[-1] == 'NHWC'
    return found

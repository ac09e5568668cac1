"""How dense heads write a box in numbers, as far as two boxes of one anchor can be compared.

The generalised IoU of two boxes does not change when both are moved or stretched alike. Boxes of
one anchor can therefore be decoded as if the anchor had its middle at 0 and sides of 1, and those
of one point as if the stride were 1: no loss has to know an anchor.
"""
from __future__ import annotations

import inspect
import math
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.numbers import is_number

# What mmdet's coder lets width and height of an anchor be multiplied by, at most.
_LARGEST = abs(math.log(16 / 1000))
CODINGS = ('delta', 'distance', 'distribution')
ACTIVATIONS = ('none', 'relu', 'exp')


class BoxCoding:
    """One way to write boxes.

    Args:
        type: ``'delta'``, (dx, dy, log dw, log dh) to an anchor of middle 0 and sides 1;
            ``'distance'``, (left, top, right, bottom) from a point; ``'distribution'``, logits of
            each of these over 0, 1 ... n.
        means, stds: of deltas, as in mmdet's ``DeltaXYWHBBoxCoder``.
        activation: of distances, behind the numbers that are heard: ``'none'``, ``'relu'`` or
            ``'exp'``.
        bins: n + 1, of distributions.

    Raises:
        ConfigError: an unknown name, or bins for anything but distributions.
    """

    def __init__(self, type: str, means: Sequence[float] = (0., 0., 0., 0.),
                 stds: Sequence[float] = (1., 1., 1., 1.), activation: str = 'none',
                 bins: Optional[int] = None) -> None:
        if type not in CODINGS:
            raise ConfigError(f'BoxesLoss.coding.type: {nearest(type, CODINGS)}')
        if activation not in ACTIVATIONS:
            raise ConfigError(f'BoxesLoss.coding.activation: {nearest(activation, ACTIVATIONS)}')
        if (bins is not None) != (type == 'distribution'):
            raise ConfigError(f'BoxesLoss.coding.bins={bins!r}: distributions have them, and '
                              f'nothing else; the type is {type!r}')
        self.type, self.activation = type, activation
        self.means, self.stds = tuple(map(float, means)), tuple(map(float, stds))
        self.bins = bins

    @classmethod
    def from_config(cls, config: Any) -> 'BoxCoding':
        """
        Raises:
            ConfigError: also where it is no dict of these arguments.
        """
        if not isinstance(config, Mapping) or 'type' not in config:
            raise ConfigError(f"BoxesLoss.coding={config!r}: must be a dict with a type, such as "
                              "dict(type='delta')")
        names = list(inspect.signature(cls).parameters)
        for name in config:
            if name not in names:
                raise ConfigError(f'BoxesLoss.coding: {nearest(name, names)}')
        for name in ('means', 'stds'):
            value = config.get(name, (0.0, ) * 4)
            if not isinstance(value, (list, tuple)) or len(value) != 4 or \
                    not all(map(is_number, value)):
                raise ConfigError(f'BoxesLoss.coding.{name}={value!r}: must be four numbers')
        return cls(**config)

    @property
    def numbers(self) -> int:
        """How many an anchor has."""
        return 4 * (self.bins or 1)

    def plain(self, values: Tensor) -> Tensor:
        """N x A x D x P -> N x A x 4 x P: what L1 compares. Deltas and distances are left as the
        head writes them, but for the relu; of a distribution it is the mean, in strides."""
        if self.type == 'distribution':
            places = torch.arange(int(self.bins or 0), device=values.device, dtype=values.dtype)
            return (self.bin_logits(values).softmax(3) * places[:, None]).sum(3)
        return values.relu() if self.activation == 'relu' else values

    def bin_logits(self, values: Tensor) -> Tensor:
        """N x A x 4 (n + 1) x P -> N x A x 4 x (n + 1) x P."""
        return values.unflatten(2, (4, -1))

    def corners(self, values: Tensor) -> Tensor:
        """N x A x D x P -> N x A x 4 x P: (x1, y1, x2, y2) in sides of the anchor, or strides."""
        found = self.plain(values)
        if self.type == 'delta':
            scale, shift = (torch.tensor(each, dtype=found.dtype).view(4, 1).to(
                found.device, non_blocking=True) for each in (self.stds, self.means))
            found = found * scale + shift
            half = found[:, :, 2:].clamp(-_LARGEST, _LARGEST).exp() / 2
            return torch.cat((found[:, :, :2] - half, found[:, :, :2] + half), 2)
        if self.activation == 'exp':
            found = found.exp()
        return torch.cat((-found[:, :, :2], found[:, :, 2:]), 2)

    def in_words(self) -> str:
        """``'deltas (stds 0.1, 0.1, 0.2, 0.2)'``, for messages."""
        if self.type == 'delta':
            told = [f'{name} {", ".join(f"{number:g}" for number in values)}'
                    for name, values, usual in (('means', self.means, 0), ('stds', self.stds, 1))
                    if any(number != usual for number in values)]
            return 'deltas' + (f' ({"; ".join(told)})' if told else '')
        if self.type == 'distribution':
            return f'distributions over {self.bins} distances'
        behind = '' if self.activation == 'none' else f' behind {self.activation}'
        return f'distances{behind}'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoxCoding) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def to_dict(self) -> Dict[str, Any]:
        """Its arguments, without those that have their default."""
        usual: Mapping[str, Any] = dict(means=(0., ) * 4, stds=(1., ) * 4, activation='none',
                                        bins=None)
        return dict(type=self.type, **{name: value for name, value in vars(self).items()
                                       if name in usual and value != usual[name]})


def giou(student: Tensor, teacher: Tensor) -> Tensor:
    """Generalised IoU of N x A x 4 x P corners, N x A x P, between -1 and 1; sides of less than 0
    count as 0.

    Source: Rezatofighi et al., CVPR 2019, algorithm 1.
    """
    overlap = _area(torch.maximum(student[:, :, :2], teacher[:, :, :2]),
                    torch.minimum(student[:, :, 2:], teacher[:, :, 2:]))
    hull = _area(torch.minimum(student[:, :, :2], teacher[:, :, :2]),
                 torch.maximum(student[:, :, 2:], teacher[:, :, 2:]))
    union = _area(*_split(student)) + _area(*_split(teacher)) - overlap
    union, hull = union.clamp(min=1e-7), hull.clamp(min=1e-7)
    return overlap / union - (hull - union) / hull


def _split(corners: Tensor) -> Tuple[Tensor, Tensor]:
    return corners[:, :, :2], corners[:, :, 2:]


def _area(low: Tensor, high: Tensor) -> Tensor:
    sides = (high - low).clamp(min=0)
    return sides[:, :, 0] * sides[:, :, 1]

"""From the student's batch to the batch on which a teacher was trained."""
from __future__ import annotations

import math
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import nn
from torch.nn import functional as F

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.algorithms.colours import OtherColours, channels_of
from autokd_mm.models.algorithms.renormalise import Renormalise, padded_with
from autokd_mm.models.distillers.regions import batch_sizes

Size = Tuple[int, int]
_KEYS = ('size', 'scale', 'order')
_ORDERS = ('bgr', 'rgb')


class TeacherInput(nn.Module):
    """The student's images normalised as the teacher's were, then at the teacher's resolution.

    Args:
        renormalise: ``None`` where both networks normalise alike; with another number of channels
            :class:`OtherColours`.
        size: (height, width) in pixels, ``None`` for the student's.
        scale: the sides of the student's batch are multiplied by it, for images that differ in
            size; ``None``: not at all.
        divisor: under a scale, sides are padded right and below to a multiple of it.
        pad_value: of that padding, and of the batch's where colours are brought to the teacher's: a
            preprocessor pads behind its normalisation.
    """

    def __init__(self, renormalise: Optional[nn.Module], size: Optional[Size],
                 scale: Optional[float] = None, divisor: int = 1, pad_value: float = 0.0) -> None:
        super().__init__()
        self.renormalise, self.size, self.scale = renormalise, size, scale
        self.divisor, self.pad_value = divisor, pad_value

    @classmethod
    def between(cls, student: Any, teacher: Any, config: Optional[Mapping[str, Any]] = None,
                networks: Optional[Tuple[nn.Module, nn.Module]] = None
                ) -> Optional['TeacherInput']:
        """The module for two ``data_preprocessor``; ``None`` where the teacher sees what the
        student sees.

        Args:
            teacher: ``None`` takes the student's.
            config: ``dict(size=...)``, a side or (height, width) in pixels, or
                ``dict(scale=...)``, a factor; ``order``: of the channels that the data set gives,
                ``'bgr'`` of files or ``'rgb'``.
            networks: student and teacher, which may take images with another number of channels.

        Raises:
            ConfigError: another key, or a value that it cannot have.
        """
        size, scale = _resolution(config)
        rgb = (config or {}).get('order') == 'rgb'
        renormalise: Optional[nn.Module] = OtherColours.between(
            student, teacher, channels_of(networks[0]), channels_of(networks[1]),
            rgb) if networks else None
        if renormalise is None:
            renormalise = Renormalise.between(student, teacher, rgb)
        if renormalise is None and size is None and scale is None:
            return None
        own = student if teacher is None else teacher
        return cls(renormalise, size, scale, getattr(own, 'pad_size_divisor', 1),
                   padded_with(own))

    def forward(self, inputs: torch.Tensor,
                samples: Optional[Sequence[Any]] = None) -> torch.Tensor:
        """N x C x H x W in, N x C x size out (bilinear; antialiased where it becomes smaller).

        Args:
            samples: of the images; they say which part of the batch is padding.
        """
        return self.scaled(self.unscaled(inputs, samples))

    def unscaled(self, inputs: torch.Tensor,
                 samples: Optional[Sequence[Any]] = None) -> torch.Tensor:
        """The same without the scale."""
        if self.renormalise is not None:
            sizes = batch_sizes(samples, inputs)
            inputs = self.renormalise(inputs)
            for image, (height, width) in zip(inputs, sizes.images if sizes else ()):
                image[:, height:] = self.pad_value
                image[:, :, width:] = self.pad_value
        return inputs if self.size is None else _resized(inputs, self.size)

    def scaled(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the scale does to the result of :meth:`unscaled`."""
        if self.scale is None:
            return inputs
        height, width = (max(1, round(side * self.scale)) for side in inputs.shape[-2:])
        return F.pad(_resized(inputs, (height, width)),
                     (0, -width % self.divisor, 0, -height % self.divisor), value=self.pad_value)

    def as_unscaled(self, feature: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """A map of the scaled images in the cells that it would have without the scale.

        Cell i is made of the cells from i * scale to (i + 1) * scale (bilinear, antialiased where
        they become fewer): it lies on the same pixels of the student's image, whatever is padding.

        Args:
            feature: N x C x h x w, of a layer with the stride that the student's has.
            size: (rows, columns) of the student's map.
        """
        if self.scale is None or feature.dim() != 4:
            return feature
        height, width = (self._lacking(found, count)
                         for found, count in zip(feature.shape[-2:], size))
        feature = feature.float()
        if height or width:
            feature = F.pad(feature, (0, width, 0, height), mode='replicate')
        found = F.interpolate(feature, scale_factor=1 / self.scale, mode='bilinear',
                              align_corners=False, antialias=True, recompute_scale_factor=False)
        return found[:, :, :size[0], :size[1]]

    def _lacking(self, found: int, count: int) -> int:
        """Cells that must be added to ``found`` of the teacher for ``count`` of the student."""
        lacking = 0
        while math.floor((found + lacking) * (1 / float(self.scale or 1))) < count:
            lacking += 1
        return lacking

    def extra_repr(self) -> str:
        return ', '.join(f'{key}={getattr(self, key)}' for key in ('size', 'scale')
                         if getattr(self, key) is not None)


def _resized(inputs: torch.Tensor, size: Size) -> torch.Tensor:
    if tuple(inputs.shape[-2:]) == size:
        return inputs
    return F.interpolate(inputs, size, mode='bilinear', align_corners=False, antialias=True)


def _resolution(config: Optional[Mapping[str, Any]]) -> Tuple[Optional[Size], Optional[float]]:
    """Size and scale, of which one is ``None``."""
    if config is None:
        return None, None
    if not isinstance(config, Mapping):
        raise ConfigError(f'model.teacher_input={config!r}: must be a dict such as dict(size=32)')
    for key in config:
        if key not in _KEYS:
            raise ConfigError(f'model.teacher_input: {nearest(key, _KEYS)}')
    order = config.get('order')
    if order is not None and order not in _ORDERS:
        raise ConfigError(f'model.teacher_input.order: {nearest(order, _ORDERS)}')
    if config.get('scale') is None:
        if config.get('size') is None and order is not None:
            return None, None
        return _size(config.get('size')), None
    if config.get('size') is not None:
        raise ConfigError('model.teacher_input has a size and a scale; size is for images of one '
                          'size, scale for those that differ')
    scale = config['scale']
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) \
            or not 0 < scale < float('inf'):
        raise ConfigError(f'model.teacher_input.scale={scale!r}: must be a number above 0, by '
                          "which the sides of the student's images are multiplied")
    return None, None if scale == 1 else float(scale)


def _size(size: Union[int, Sequence[int], None]) -> Size:
    sides = (size, size) if isinstance(size, int) else size
    if (not isinstance(sides, (list, tuple)) or len(sides) != 2
            or any(not isinstance(side, int) or side < 1 for side in sides)):
        raise ConfigError(f'model.teacher_input.size={size!r}: must be a side in pixels or '
                          '(height, width)')
    return sides[0], sides[1]


def refuse_other_sizes(way: Optional[TeacherInput], shared_boxes: Optional[int],
                       bank: Any) -> None:
    """What needs images of one size for both networks.

    Args:
        way: from the student's batch to the teacher's.
        shared_boxes, bank: as the algorithm was given them.

    Raises:
        ConfigError: the teacher sees another size.
    """
    if way is None:
        return
    if shared_boxes is not None and (way.size or way.scale):
        raise ConfigError('model.shared_boxes: boxes are shared by networks that see images of '
                          'one size; leave it or model.teacher_input out')
    if bank and way.scale is not None:
        raise ConfigError('model.bank: a bank of tools/cache_teacher.py holds images of one '
                          'size; leave it out or give model.teacher_input a size')

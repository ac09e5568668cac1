"""The teacher on images that differ in size: each alone, and of its maps what lies in the image."""
from __future__ import annotations

import math
from typing import Dict, List

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from autokd_mm.engine.layers import forward, inputs_for
from autokd_mm.engine.proxy_images import cells
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError

# The coarsest level of a usual feature pyramid; sides that are a multiple show every stride.
_COARSEST = 128


class DenseTeacher:
    """Maps of one image after another.

    A map with stride s has ceil(side / s) cells. The image is padded right and below as the
    teacher's ``data_preprocessor`` does it with a batch of one; cells of the padding are cut off.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
        layers: where it is listened to.
        pixels: C x H x W, uint8: an image by which the strides are found.

    Attributes:
        strides: of the maps in pixels, by name of the pair.
        channels: of the maps.

    Raises:
        ConfigError: an output is no map of the image, or the teacher wants another resolution.
    """

    def __init__(self, model: nn.Module, layers: Layers, pixels: np.ndarray) -> None:
        self._model, self._sources = model, layers.sources('teacher')
        self._keys = {pair.name: 'layers.teacher_logits' if pair in layers.logits
                      else 'layers.teacher' for pair in layers.all}
        teachers = each_teacher(model)
        if any(getattr(view, 'size', None) for _, view in teachers):
            raise ConfigError('model.teacher_input.size: images of detection and segmentation '
                              'have no common size; leave it out')
        own = [network.data_preprocessor for network, _ in teachers
               if hasattr(network.data_preprocessor, 'pad_size_divisor')]
        own = own or [model.data_preprocessor]
        self._divisor = _common_multiple([getattr(one, 'pad_size_divisor', 1) for one in own])
        self._pad_value = float(getattr(own[0], 'pad_value', 0))
        self.strides: Dict[str, int] = {}
        self.channels: Dict[str, int] = {}
        inputs = self._inputs(pixels, _common_multiple([self._divisor, _COARSEST]))
        for name, output in self._forward(inputs).items():
            self.strides[name] = self._stride(name, output, inputs)
            self.channels[name] = output.shape[1]

    def __call__(self, pixels: np.ndarray) -> Dict[str, np.ndarray]:
        """C x h x w float32 maps of a C x H x W uint8 image.

        Raises:
            ConfigError: a map has another number of cells than its stride says.
        """
        inputs, found = self._inputs(pixels, self._divisor), {}
        for name, output in self._forward(inputs).items():
            stride = self.strides[name]
            if tuple(output.shape[2:]) != cells(inputs.shape[2:], stride):
                raise ConfigError(
                    f'{self._keys[name]}: {self._sources[name]!r} has stride {stride} and gives '
                    f'{_times(output)} cells for {_times(inputs)} pixels; let '
                    f'model.teacher.data_preprocessor.pad_size_divisor be {stride}')
            height, width = cells(pixels.shape[1:], stride)
            found[name] = output[0, :, :height, :width].float().cpu().numpy()
        return found

    def _inputs(self, pixels: np.ndarray, divisor: int) -> torch.Tensor:
        """The normalised image with sides that are a multiple of ``divisor``."""
        height, width = pixels.shape[1:]
        inputs = inputs_for(self._model, torch.from_numpy(pixels)[None], teacher=True)
        # Without the student's padding, which is normalised otherwise.
        inputs = inputs[..., :height, :width]
        return F.pad(inputs, (0, -width % divisor, 0, -height % divisor), value=self._pad_value)

    def _forward(self, inputs: torch.Tensor) -> Dict[str, torch.Tensor]:
        return forward(self._model.teacher, self._sources, inputs)

    def _stride(self, name: str, output: torch.Tensor, inputs: torch.Tensor) -> int:
        if output.dim() == 4 and len(output) == 1:
            sides = list(zip(inputs.shape[2:], output.shape[2:]))
            strides = {side // count for side, count in sides if side % count == 0}
            if len(strides) == 1 and all(side % count == 0 for side, count in sides):
                return strides.pop()
        raise ConfigError(f'{self._keys[name]}: {self._sources[name]!r} gives a tensor of '
                          f'{_times(output, 0)} for an image of {_times(inputs)} pixels, which is '
                          'no map with one stride in both directions')


def _common_multiple(numbers: List[int]) -> int:
    result = 1
    for number in numbers:
        result = result * int(number) // math.gcd(result, int(number))
    return result


def _times(tensor: torch.Tensor, first: int = 2) -> str:
    return ' x '.join(map(str, tensor.shape[first:]))

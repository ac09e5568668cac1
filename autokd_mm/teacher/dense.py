"""The teacher on images that differ in size: each alone, and of its maps what lies in the image."""
from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.model import BaseModel
from torch.nn import functional as F

from autokd_mm.errors import ConfigError, UserError
from autokd_mm.layers.capture import find_layer
from autokd_mm.layers.find import forward, inputs_for
from autokd_mm.layers.matching import COARSEST
from autokd_mm.layers.padding import Size, divisor, least_size
from autokd_mm.measure.losses import first_words
from autokd_mm.models.algorithms.renormalise import padded_with
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.models.distillers import Layers, split_source
from autokd_mm.models.heads.shared_boxes import FIELD, BoxLogits, SharedBoxes
from autokd_mm.models.transforms.grids import averaged
from autokd_mm.proxy.images import boxes_of, cells


class DenseTeacher:
    """Maps of one image after another.

    A map with stride s has ceil(side / s) cells. The image is padded right and below as the
    teacher's ``data_preprocessor`` does it with a batch of one (in test, or, where the network
    takes no such image, in training); cells of the padding are cut off.
    A teacher that sees the images at another scale (``model.teacher_input``) gives maps with as
    many cells, and strides are in pixels of the student's images.
    A map that is finer than the student's is averaged over the cells of that.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
        layers: where it is listened to.
        pixels: C x H x W, uint8: an image by which the strides are found.

    Attributes:
        strides: in pixels of the maps that it gives, by name of the pair.
        channels: of the maps.
        boxes: of a detector's logits of boxes (``model.shared_boxes``), by name of the pair: the
            largest number of boxes in an image, and how many logits each has.

    Raises:
        ConfigError: an output is no map of the image, or the teacher wants another resolution.
    """

    def __init__(self, model: BaseModel, layers: Layers, pixels: np.ndarray) -> None:
        self._model, self._sources = model, layers.sources('teacher')
        self._layouts = layers.layouts('teacher')
        # Of the maps that the student's are compared on.
        self._wanted = {pair.name: pair.strides[0] for pair in layers.heard if pair.strides}
        self._keys = {pair.name: 'layers.teacher_logits'
                      if pair in layers.logits + layers.own_logits else
                      'layers.teacher' if pair in layers.pairs else 'layers.teacher_predictions'
                      for pair in layers.heard}
        teachers = each_teacher(model)
        if any(getattr(view, 'size', None) for _, view in teachers):
            raise ConfigError('model.teacher_input.size: images of detection and segmentation '
                              'have no common size; leave it out or give a scale')
        own = [network.data_preprocessor for network, _ in teachers
               if hasattr(network.data_preprocessor, 'pad_size_divisor')]
        own = own or [model.data_preprocessor]
        self._counts = self._numbers_of_boxes()
        self._divisor = _common_multiple([divisor(one) for one in own])
        # In test and in training, as much as each teacher asks for.
        self._least = [tuple(max(sides) for sides in zip(*[least_size(one, training)
                                                           for one in own]))
                       for training in (False, True)]
        self._pad_value = padded_with(own[0])
        self._own: Dict[str, int] = {}
        self.channels: Dict[str, int] = {}
        self.boxes: Dict[str, Tuple[int, int]] = {}
        inputs = self._inputs(pixels, _common_multiple([self._divisor, COARSEST]))
        for name, output in self._forward(inputs, self._samples(pixels)).items():
            if name in self._counts:
                self.boxes[name] = (self._counts[name], output.shape[1])
                continue
            self._own[name] = self._stride(name, output, inputs)
            self.channels[name] = output.shape[1]
        self.strides = {name: max(own, self._wanted.get(name, own))
                        for name, own in self._own.items()}

    def __call__(self, pixels: np.ndarray) -> Dict[str, np.ndarray]:
        """C x h x w float32 maps of a C x H x W uint8 image; of the logits of boxes R x K, and as
        ``boxes_of(name)`` the boxes, R x 4 in pixels.

        Raises:
            ConfigError: a map has another number of cells than its stride says.
        """
        least = self._least[0]
        if self._least[1] == least:
            return self._maps(pixels, least)
        try:
            return self._maps(pixels, least)
        except (RuntimeError, ConfigError):  # it takes images only as its training pads them
            return self._maps(pixels, self._least[1])

    def _maps(self, pixels: np.ndarray, least: Size) -> Dict[str, np.ndarray]:
        inputs, found = self._inputs(pixels, self._divisor, least), {}
        view = self._model.to_teacher
        if view is not None:
            inputs = view.scaled(inputs)
        samples = self._samples(pixels)
        for name, output in self._forward(inputs, samples).items():
            if name in self.boxes:
                found[name] = output.float().cpu().numpy()
                found[boxes_of(name)] = getattr(samples[0], FIELD).float().cpu().numpy()
                continue
            stride = self._own[name]
            if tuple(output.shape[2:]) != cells(inputs.shape[2:], stride):
                raise ConfigError(
                    f'{self._keys[name]}: {self._sources[name]!r} has stride {stride} and gives '
                    f'{_times(output)} cells for {_times(inputs)} pixels; let '
                    f'model.teacher.data_preprocessor.pad_size_divisor be {stride}')
            height, width = cells(pixels.shape[1:], stride)
            if view is not None:
                output = view.as_unscaled(output, (height, width))
            output = output[:, :, :height, :width].float()
            if self.strides[name] > stride:
                size = (int(pixels.shape[1]), int(pixels.shape[2]))
                output = averaged(output, (stride, self.strides[name]), [size], size)
            found[name] = output[0].cpu().numpy()
        return found

    def _inputs(self, pixels: np.ndarray, by: int, least: Size = (0, 0)) -> torch.Tensor:
        """The normalised image with sides that are a multiple of ``by`` and at least ``least``,
        unscaled."""
        height, width = pixels.shape[1:]
        inputs = inputs_for(self._model, torch.from_numpy(pixels)[None], teacher=True)
        # Without the student's padding, which is normalised otherwise.
        inputs = inputs[..., :height, :width]
        wanted = [-(-max(side, low) // by) * by for side, low in zip((height, width), least)]
        return F.pad(inputs, (0, wanted[1] - width, 0, wanted[0] - height), value=self._pad_value)

    def _samples(self, pixels: np.ndarray) -> List[Any]:
        """A data sample for a detector, which may ask how large the image is: to clip boxes to it,
        or to tell a transformer where the padding begins."""
        if not any(base.__name__ == 'BaseDetector' for network, _ in each_teacher(self._model)
                   for base in type(network).__mro__):
            return []
        from mmdet.structures import DetDataSample
        return [DetDataSample(metainfo=dict(img_shape=pixels.shape[1:]))]

    def _forward(self, inputs: torch.Tensor, samples: List[Any]) -> Dict[str, torch.Tensor]:
        try:
            return forward(self._model.teacher, self._sources, inputs, samples or None,
                           self._layouts)
        except UserError:
            raise
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            raise ConfigError(f'model.teacher: it takes no image of {_times(inputs)} pixels '
                              f'({first_words(error)}); let model.teacher.data_preprocessor.'
                              'pad_size_divisor be what divides the sides that it takes; one '
                              'that is made for a single size needs images of that size') from error

    def _numbers_of_boxes(self) -> Dict[str, int]:
        modules = {name: find_layer(self._model.teacher, split_source(source)[0], self._keys[name])
                   for name, source in self._sources.items()}
        heads = [head for head in self._model.teacher.modules() if isinstance(head, SharedBoxes)]
        return {name: heads[0].count for name, module in modules.items()
                if isinstance(module, BoxLogits)}

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

"""A few images to try both networks with, and what must fit for them."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from autokd_mm.datasets.annotations import BOXES, LABEL, Arrays, to_sample
from autokd_mm.datasets.half import Half
from autokd_mm.datasets.mixing import in_words
from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import Layers
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import read_arrays
from autokd_mm.proxy.settings import ProxySettings

_PROBES = 4


class Probe(NamedTuple):
    """Images with which the networks are tried.

    Attributes:
        pixels: B x C x H x W, uint8.
        kind: of their annotations (see :mod:`autokd_mm.datasets.annotations`).
        samples: their data samples, ``None`` for class labels.
        fullest: pixels and data sample of the image of a few with the most annotations.
    """
    pixels: torch.Tensor
    kind: str
    samples: Optional[List[Any]]
    fullest: Tuple[torch.Tensor, Any]


def probe(dataset: Any, settings: ProxySettings, held_out: Any = None,
          say: Callable[[str], None] = lambda line: None) -> Probe:
    """Some of the images that the proxy may take.

    Where images differ in size, the smallest of a few: what its maps allow, all allow.

    Args:
        held_out: dataset of the user's own for the held-out images.
        say: told in a line each which images and which transforms the proxy does without.

    Raises:
        ConfigError: of :func:`choose_images` and :func:`read_arrays`.
    """
    # A choice that needs no trained teacher refuses the same mistakes, now.
    chosen = choose_images(replace(settings, select='class_balanced'), dataset,
                           held_out=held_out, say=say)['train']
    half = Half(dataset, chosen)
    found = read_arrays(half, int(chosen[0]), 0, settings.seed, settings.input_size)
    fullest = found
    if found[1] != LABEL:
        for index in chosen[::max(1, len(chosen) // _PROBES)]:
            other = read_arrays(half, int(index), 0, settings.seed, settings.input_size)
            found = min(found, other, key=lambda one: one[0].size)
            fullest = max(fullest, other, key=lambda one: len(one[2].get('boxes', ())))
    if half.kept:
        say(f'train_dataloader.dataset.pipeline: {in_words(half.kept)} would mix in what was read '
            'before; the proxy reads every image as the first one, without, and the full training '
            'has it')
    pixels, kind, arrays = found
    shown = _shown(fullest[0], kind, fullest[2])
    if kind == LABEL:
        return Probe(torch.from_numpy(pixels)[None].repeat(2, 1, 1, 1), LABEL, None, shown)
    return Probe(torch.from_numpy(pixels)[None], kind, [_shown(pixels, kind, arrays)[1]], shown)


def _shown(pixels: np.ndarray, kind: str, arrays: Arrays) -> Tuple[torch.Tensor, Any]:
    return torch.from_numpy(pixels), to_sample(kind, arrays, (pixels.shape[1], pixels.shape[2]))


def refuse_unfit(layers: Layers, kind: str, settings: ProxySettings) -> None:
    """What works for some kinds of annotations, and not for others.

    Raises:
        ConfigError: maps without a stride, a precision that detectors do not compute in, or a
            choice by an entropy that the teacher does not have.
    """
    if kind != LABEL:
        _refuse_other_strides(layers)
    if kind == BOXES and settings.precision != 'float32':
        raise ConfigError(f'proxy.precision={settings.precision!r}: detectors compute in '
                          'float32, their operations know no other numbers on a CPU')
    if settings.select == 'teacher_entropy' and not (layers.logits and kind == LABEL):
        raise ConfigError("proxy.select: 'teacher_entropy' needs layers.teacher_logits and one "
                          'class label for each image')


def _refuse_other_strides(layers: Layers) -> None:
    for pair in layers.all:
        if pair.strides is None and pair.student_shape[1:] != pair.teacher_shape[1:]:
            raise ConfigError(
                f'layers.teacher: the map at {pair.teacher!r} is {_times(pair.teacher_shape)} '
                f'and that at layers.student {pair.student!r} {_times(pair.student_shape)}; '
                'where images differ in size both must be maps with one stride in both directions')


def _times(shape: Sequence[int]) -> str:
    return ' x '.join(map(str, shape[1:]))

"""The images of the proxy: augmented and decoded once, kept as arrays of pixels."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional as F

from autokd_mm.datasets.annotations import LABEL, Arrays, kind_of, resized, to_arrays, to_sample
from autokd_mm.datasets.pipelines import pipeline_of
from autokd_mm.datasets.unreadable import unreadable
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.seeding import seeded

Progress = Callable[[str, int, int], None]


def read_views(dataset: Any, indices: np.ndarray, views: int, seed: int, pixels: np.ndarray,
               labels: np.ndarray, progress: Progress = lambda what, done, total: None,
               input_size: int = 0) -> None:
    """Run the pipeline once for each (sample, view), each with its own seed.

    Row ``view * len(indices) + position`` is sample ``indices[position]``. Sample ``i`` in view
    ``v`` is always the same pixels, whatever was read before it.

    Args:
        pixels: filled; rows x C x H x W, uint8, as the pipeline packs them (not normalised).
        labels: filled; rows, int64.
        input_size: see :func:`read_arrays`.

    Raises:
        ConfigError: a sample is not one uint8 image with a class label, or sizes differ.
    """
    for view in range(views):
        for position, index in enumerate(indices):
            row = view * len(indices) + position
            image, label = read_one(dataset, int(index), view, seed, input_size)
            refuse_another_size(image.shape, pixels.shape[1:])
            pixels[row], labels[row] = image, label
            if row % 64 == 0:
                progress('reading images', row, len(labels))


def refuse_another_size(shape: Sequence[int], expected: Sequence[int]) -> None:
    """Raises:
        ConfigError: images with class labels differ in size.
    """
    if tuple(shape) != tuple(expected):
        raise ConfigError('train_pipeline: the images of the proxy differ in size '
                          f'({tuple(shape)} and {tuple(expected)}); crop or resize them to one '
                          'size')


def read_one(dataset: Any, index: int, view: int, seed: int,
             input_size: int = 0) -> Tuple[np.ndarray, Any]:
    """The C x H x W uint8 pixels of sample ``index`` in view ``view``, and what is known of it:
    the class label, or a fresh data sample with boxes or a segmentation map.

    Args:
        input_size: see :func:`read_arrays`.
    """
    pixels, kind, arrays = read_arrays(dataset, index, view, seed, input_size)
    if kind == LABEL:
        return pixels, int(arrays['labels'])
    return pixels, to_sample(kind, arrays, (pixels.shape[1], pixels.shape[2]))


def read_arrays(dataset: Any, index: int, view: int, seed: int,
                input_size: int = 0) -> Tuple[np.ndarray, str, Arrays]:
    """The C x H x W uint8 pixels of sample ``index`` in view ``view``, the kind of its annotations
    and these as arrays (see :mod:`autokd_mm.datasets.annotations`).

    Args:
        input_size: side to which images with a class label are resized, as squares; others keep
            their proportions, and it is their shorter side. 0 leaves them as they are.

    Raises:
        DataError: the image's file is not there or cannot be read.
        ConfigError: pixels that are not uint8; see :func:`annotations.to_arrays`.
    """
    try:
        with seeded(seed, index, view):
            sample = dataset[index]
    except FileNotFoundError as error:
        raise DataError(f'train_dataloader.dataset: {error.filename or error} is not there, the '
                        f'annotations name it; is data_root={_data_root(dataset)!r} right, and '
                        'data_prefix?') from None
    except Exception as error:
        reason = unreadable(error)
        if not reason:
            raise
        raise DataError(f'train_dataloader.dataset: sample {index}: {reason}') from error
    image = sample['inputs']
    if image.dtype != torch.uint8:
        raise ConfigError('train_pipeline: the proxy keeps images as uint8; leave the '
                          f'normalisation to the data_preprocessor (got {image.dtype})')
    kind, size = kind_of(sample['data_samples']), tuple(image.shape[1:])
    arrays = to_arrays(sample['data_samples'], size)
    wanted = _wanted_size(size, input_size, kind)
    if wanted != size:
        image, arrays = resize(image, wanted), resized(arrays, size, wanted)
    return image.numpy(), kind, arrays


def _data_root(dataset: Any) -> str:
    while not hasattr(dataset, 'data_root') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return str(getattr(dataset, 'data_root', ''))


def _wanted_size(size: Tuple[int, int], input_size: int, kind: str) -> Tuple[int, int]:
    if not input_size:
        return size
    if kind == LABEL:
        return input_size, input_size
    # Rounded as mmcv's imrescale does it.
    factor = input_size / min(size)
    return int(size[0] * factor + 0.5), int(size[1] * factor + 0.5)


def resize(image: torch.Tensor, size: Tuple[int, int]) -> torch.Tensor:
    """C x H x W uint8 pixels in ``size`` (height, width), antialiased bilinear."""
    # In float: torch's uint8 kernels differ by version and by instruction set.
    resized = F.interpolate(image[None].float(), size, mode='bilinear', align_corners=False,
                            antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def held_out_dataset_config(train: Dict[str, Any], val: Dict[str, Any]) -> Dict[str, Any]:
    """The training images behind the pipeline of validation: no augmentation.

    Pipelines of validation load boxes and maps behind what resizes the image, because metrics are
    computed at the original size. Losses want them at the image's, so they are loaded right behind
    it here, as in training.
    """
    config = copy.deepcopy(train)
    steps = list(pipeline_of(val))
    for step in reversed([step for step in pipeline_of(train) if _loads_annotations(step)]):
        steps = [other for other in steps if not _loads_annotations(other)]
        steps.insert(1 + max([at for at, other in enumerate(steps)
                              if _name(other).startswith('LoadImage')], default=-1), step)
    _set_pipeline(config, steps)
    return config


def _name(step: Mapping[str, Any]) -> str:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _loads_annotations(step: Mapping[str, Any]) -> bool:
    return _name(step).startswith('Load') and _name(step).endswith('Annotations')


def _set_pipeline(config: Dict[str, Any], pipeline: Any) -> None:
    """Replace the pipeline where the images are read, below wrappers such as RepeatDataset."""
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        config.pop('pipeline', None)
        for item in inner if isinstance(inner, (list, tuple)) else [inner]:
            _set_pipeline(item, pipeline)
    else:
        config['pipeline'] = copy.deepcopy(pipeline)

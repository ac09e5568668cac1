"""The images of the proxy: augmented and decoded once, kept as arrays of pixels."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional as F

from autokd_mm.datasets.annotations import LABEL, Arrays, kind_of, resized, to_arrays, to_sample
from autokd_mm.datasets.damage import blamed, not_loaded
from autokd_mm.datasets.half import KEY, Half
from autokd_mm.datasets.pipelines import has_pipeline, pipeline_of
from autokd_mm.datasets.unreadable import unreadable
from autokd_mm.datasets.wrappers import source
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.seeding import derive, seeded

Progress = Callable[[str, int, int], None]
# Other seeds for an image of which the pipeline makes nothing, then so many other images.
_ATTEMPTS, _OTHERS = 16, 64
_NORMALISED = 16.0  # pixels with a mean of 0 and a deviation of 1 are smaller


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
        ConfigError: a sample is not one image with a class label, or sizes differ.
    """
    half = dataset if isinstance(dataset, Half) else Half(dataset, indices)
    for view in range(views):
        for position, index in enumerate(indices):
            row = view * len(indices) + position
            image, label = read_one(half, int(index), view, seed, input_size)
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

    Where the pipeline gives nothing (an augmentation may drop all boxes), it runs again with
    further seeds, and at last on another image of the same :class:`Half`.

    Args:
        dataset: a :class:`Half`, or any dataset, of which no other image is then read.
        input_size: side to which images with a class label are resized, as squares; others keep
            their proportions, and it is their shorter side. 0 leaves them as they are.

    Raises:
        DataError: the image's file is not there or cannot be read; the pipeline gives nothing.
        ConfigError: pixels that are normalised; see :func:`annotations.to_arrays`.
    """
    half = dataset if isinstance(dataset, Half) else Half(dataset, [index])
    sample = _draw(half, index, view, seed)
    if not isinstance(sample, Mapping) or not {'inputs', 'data_samples'} <= set(sample):
        raise ConfigError(f"{KEY}.pipeline: gives no 'inputs' and 'data_samples'; its last step "
                          'must be PackInputs, of detectors PackDetInputs, of segmentors '
                          'PackSegInputs')
    image = whole(sample['inputs'])
    kind = kind_of(sample['data_samples'])
    size = int(image.shape[1]), int(image.shape[2])
    arrays = to_arrays(sample['data_samples'], size)
    wanted = _wanted_size(size, input_size, kind)
    if wanted != size:
        image, arrays = resize(image, wanted), resized(arrays, size, wanted)
    return image.numpy(), kind, arrays


def whole(image: torch.Tensor) -> torch.Tensor:
    """Pixels as uint8. Some pipelines compute in float32 (``to_float32=True``): rounded, and what a
    distortion of colours has made of them beyond 0 and 255 is cut off.

    Raises:
        ConfigError: they look normalised: some are negative, and all are small.
    """
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point() or not image.numel() or (
            float(image.min()) < 0 and float(image.abs().max()) < _NORMALISED):
        raise ConfigError('train_pipeline: the proxy keeps images as uint8; leave the '
                          f'normalisation to the data_preprocessor (got {image.dtype})')
    return image.round().clamp(0, 255).to(torch.uint8)


def _draw(half: Half, index: int, view: int, seed: int) -> Any:
    """What the pipeline makes of image ``index``; always the same for the same (index, view)."""
    for attempt in range(_ATTEMPTS):
        sample = _run(half, index, (seed, index, view, *([attempt] if attempt else [])))
        if sample is not None:
            if attempt:
                half.redrawn.add((index, view))
            return sample
    others = np.random.default_rng([seed, index, view, 5]).permutation(half.indices)
    for other in others[:_OTHERS]:
        sample = _run(half, int(other), (seed, index, view, 0, int(other)))
        if sample is not None:
            half.replaced.add((index, view))
            return sample
    raise DataError(f'{KEY}: the pipeline gives nothing (None) for image {half.name(index)} and '
                    'for others; FilterAnnotations with keep_empty=True keeps images without '
                    'boxes')


def _run(half: Half, index: int, keys: Tuple[int, ...]) -> Any:
    try:
        with seeded(*keys):
            return half.read(index, derive(*keys, 6), again=len(keys) > 3)
    except Exception as error:
        reason = unreadable(error)
        if not isinstance(error, FileNotFoundError) and half.name(index) in reason:
            raise DataError(f'{KEY}: sample {index}: {reason}') from error
        found = blamed(half.dataset, index)
        if isinstance(error, FileNotFoundError):
            found = found or not_loaded({}, error, KEY, source(half.dataset, index)[0])
        if found is None and not reason:
            raise
        raise (found or DataError(f'{KEY}: sample {index}: {reason}')) from error


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


def held_out_dataset_config(train: Dict[str, Any], val: Dict[str, Any],
                            own: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """The training images behind the pipeline of validation: no augmentation.

    Pipelines of validation load boxes and maps behind what resizes the image, because metrics are
    computed at the original size. Losses want them at the image's, so they are loaded right behind
    it here, as in training. What is generated from them for training's losses (``GenerateEdge``)
    stands before what packs.

    Args:
        own: config of a dataset to take instead of the training images; its pipeline, where it has
            one, is taken instead of that of validation.
    """
    steps = list(pipeline_of(val if own is None or not has_pipeline(own) else own))
    loaders = [step for step in pipeline_of(train) if _loads_annotations(step)]
    if loaders:
        steps = [step for step in steps if not _loads_annotations(step)]
        behind = 1 + max([at for at, step in enumerate(steps)
                          if _name(step).startswith('LoadImage')], default=-1)
        steps[behind:behind] = loaders
    generated = [step for step in pipeline_of(train) if _name(step).startswith('Generate')]
    there = [_name(step) for step in steps]
    last = next((at for at, name in enumerate(there) if name.startswith('Pack')), len(steps))
    steps[last:last] = [step for step in generated if _name(step) not in there]
    return _with_pipeline(copy.deepcopy(train if own is None else own), steps)


def _name(step: Mapping[str, Any]) -> str:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _loads_annotations(step: Mapping[str, Any]) -> bool:
    return (_name(step).startswith('Load')
            and _name(step).endswith(('Annotations', 'Annotation', 'Proposals')))


def _with_pipeline(config: Any, pipeline: Any) -> Any:
    """The config with this pipeline where the images are read, below wrappers such as
    RepeatDataset. A wrapper with a pipeline of its own (MultiImageMixDataset) is left out: it
    would mix images, and sample i is that of the dataset in it."""
    if config.get('dataset'):
        inner = _with_pipeline(config['dataset'], pipeline)
        if 'pipeline' in config:
            return inner
        config['dataset'] = inner
    elif config.get('datasets'):
        config['datasets'] = [_with_pipeline(item, pipeline) for item in config['datasets']]
    else:
        config['pipeline'] = copy.deepcopy(pipeline)
    return config

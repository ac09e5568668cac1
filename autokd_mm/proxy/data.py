"""The images of the proxy: chosen, augmented and decoded once, kept as arrays of pixels."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional as F

from autokd_mm.datasets.annotations import LABEL, Arrays, kind_of, resized, to_arrays, to_sample
from autokd_mm.datasets.pipelines import pipeline_of
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings
from autokd_mm.seeding import seeded

Progress = Callable[[str, int, int], None]


# How many candidates for each image that is chosen by the teacher's entropy: enough to stand for
# the whole data set, and a cost that does not grow with it.
POOL = 10


def choose_images(settings: ProxySettings, dataset: Any,
                  entropy: Optional[Callable[[np.ndarray], np.ndarray]] = None
                  ) -> Dict[str, np.ndarray]:
    """Which training images the proxy takes: sample indices of ``train`` and ``held_out``.

    Args:
        entropy: gives the teacher's entropy of the samples with these indices; asked with
            ``select='teacher_entropy'`` only.

    Raises:
        ConfigError: more are asked for than there are; or they are to be chosen by entropy and
            ``entropy`` or class labels are missing.
    """
    images, held_out_images = settings.counts(len(dataset))
    labels = _class_labels(dataset)
    values = None
    if settings.select == 'teacher_entropy':
        if entropy is None:
            raise ConfigError("proxy.select: 'teacher_entropy' needs a teacher")
        if read_arrays(dataset, 0, 0, settings.seed)[1] != LABEL:
            raise ConfigError("proxy.select: 'teacher_entropy' needs one class label for each "
                              "image; 'class_balanced' and 'random' take any")
        # Without entropies the choice is refused here, before the teacher runs for long.
        choose(labels, len(dataset), images, held_out_images, settings.seed)
        pool = candidates(labels, len(dataset), images, held_out_images, settings.seed)
        values = np.full(len(dataset), np.nan)
        values[pool] = entropy(pool)
    train, held_out = choose(labels, len(dataset), images, held_out_images, settings.seed,
                             settings.select, values)
    return dict(train=train, held_out=held_out)


def _class_labels(dataset: Any) -> Any:
    return dataset.get_gt_labels() if hasattr(dataset, 'get_gt_labels') else None


def choose(labels: Optional[Sequence[int]], total: int, train: int, held_out: int, seed: int,
           select: str = 'class_balanced',
           entropy: Optional[np.ndarray] = None) -> Tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of sample indices out of ``total``.

    The held-out samples are class-balanced and the same for every ``select``, so that rewards of
    differently chosen proxies can be compared. The training samples are

    - ``'random'``: drawn from all others alike;
    - ``'class_balanced'``: shuffled within each class and dealt out one class after another, so
      any prefix is as balanced as the data allow;
    - ``'teacher_entropy'``: one from each of ``train`` equal strata of the candidates in the order
      of the teacher's entropy, so the histogram of entropies is that of the candidates, whatever
      its bins. Entropy of a trained network as what a proxy must preserve: Na et al., IJCAI 2021
      ("Accelerating Neural Architecture Search via Proxy Data"); they favour the tails of the
      histogram, which would change what a distiller is for, so it is matched here instead.

    Args:
        labels: one class for each sample; ``None`` takes all for one class.
        entropy: one for each sample, NaN where it is no candidate; for ``'teacher_entropy'``.

    Raises:
        ConfigError: more samples are asked for than there are, a set too small to compare, or no
            entropies for ``'teacher_entropy'``.
    """
    for key, wanted, least in (('proxy.images', train, 2), ('proxy.held_out', held_out, 2)):
        if wanted < least:
            raise ConfigError(f'{key}={wanted}: at least {least} images are needed')
    if train + held_out > total:
        raise ConfigError(f'proxy.images={train} and proxy.held_out={held_out} need '
                          f'{train + held_out} training images, the dataset has {total}')
    order = _dealt(labels, total, seed)
    rest = order[held_out:]
    if select == 'class_balanced':
        chosen = rest[:train]
    elif select == 'random':
        chosen = np.random.default_rng([seed, 1]).permutation(np.sort(rest))[:train]
    elif select == 'teacher_entropy':
        chosen = _one_of_each_stratum(entropy, rest, train, seed)
    else:
        raise ConfigError(f'proxy.select: {nearest(select, SELECTIONS)}')
    return np.sort(chosen), np.sort(order[:held_out])


def candidates(labels: Optional[Sequence[int]], total: int, train: int, held_out: int,
               seed: int) -> np.ndarray:
    """The samples whose entropy is needed: at most ``POOL`` random ones for each chosen one."""
    rest = np.sort(_dealt(labels, total, seed)[held_out:])
    return np.sort(np.random.default_rng([seed, 2]).permutation(rest)[:POOL * train])


def _dealt(labels: Optional[Sequence[int]], total: int, seed: int) -> np.ndarray:
    """All samples, shuffled within each class, one class after another."""
    order = np.random.default_rng(seed).permutation(total)
    if labels is None:
        return order
    classes = np.asarray(labels)[order]
    rank = np.zeros(total, dtype=np.int64)
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        rank[members] = np.arange(len(members))
    return order[np.argsort(rank, kind='stable')]


def _one_of_each_stratum(entropy: Optional[np.ndarray], rest: np.ndarray, train: int,
                         seed: int) -> np.ndarray:
    pool = np.sort(rest)
    values = np.full(len(pool), np.nan) if entropy is None else np.asarray(entropy)[pool]
    pool, values = pool[np.isfinite(values)], values[np.isfinite(values)]
    if len(pool) < train:
        raise ConfigError(f"proxy.select: 'teacher_entropy' needs the teacher's entropy of at "
                          f'least {train} images, {len(pool)} are known')
    pool = pool[np.argsort(values, kind='stable')]
    edges = np.linspace(0, len(pool), train + 1).astype(np.int64)
    return pool[np.random.default_rng([seed, 3]).integers(edges[:-1], edges[1:])]


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
    return pixels, to_sample(kind, arrays, pixels.shape[1:])


def read_arrays(dataset: Any, index: int, view: int, seed: int,
                input_size: int = 0) -> Tuple[np.ndarray, str, Arrays]:
    """The C x H x W uint8 pixels of sample ``index`` in view ``view``, the kind of its annotations
    and these as arrays (see :mod:`autokd_mm.datasets.annotations`).

    Args:
        input_size: side to which images with a class label are resized, as squares; others keep
            their proportions, and it is their shorter side. 0 leaves them as they are.

    Raises:
        ConfigError: the image's file is not there; pixels that are not uint8; see
            :func:`annotations.to_arrays`.
    """
    try:
        with seeded(seed, index, view):
            sample = dataset[index]
    except FileNotFoundError as error:
        raise ConfigError(f'train_dataloader.dataset: {error.filename or error} is not there, the '
                          f'annotations name it; is data_root={_data_root(dataset)!r} right, and '
                          'data_prefix?') from None
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

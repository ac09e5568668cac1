"""The images of the proxy: chosen, augmented and decoded once, kept as arrays of pixels."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.nn import functional as F

from autokd_mm.engine.proxy import SELECTIONS, ProxySettings
from autokd_mm.seeding import seeded
from autokd_mm.space.errors import ConfigError, nearest

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
        ConfigError: more are asked for than there are, or ``entropy`` is missing.
    """
    images, held_out_images = settings.counts(len(dataset))
    labels = _class_labels(dataset)
    values = None
    if settings.select == 'teacher_entropy':
        if entropy is None:
            raise ConfigError("proxy.select: 'teacher_entropy' needs a teacher")
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
        input_size: see :func:`read_one`.

    Raises:
        ConfigError: a sample is not one uint8 image with a class label, or sizes differ.
    """
    for view in range(views):
        for position, index in enumerate(indices):
            row = view * len(indices) + position
            image, label = read_one(dataset, int(index), view, seed, input_size)
            if tuple(image.shape) != pixels.shape[1:]:
                raise ConfigError('train_pipeline: the images of the proxy differ in size '
                                  f'({tuple(image.shape)} and {pixels.shape[1:]}); crop or '
                                  'resize them to one size')
            pixels[row], labels[row] = image, label
            if row % 64 == 0:
                progress('reading images', row, len(labels))


def read_one(dataset: Any, index: int, view: int, seed: int,
             input_size: int = 0) -> Tuple[np.ndarray, int]:
    """The C x H x W uint8 pixels and the label of sample ``index`` in view ``view``.

    Args:
        input_size: H and W to which the pixels are resized, 0 for as they are.
    """
    with seeded(seed, index, view):
        sample = dataset[index]
    image = sample['inputs']
    if image.dtype != torch.uint8:
        raise ConfigError('train_pipeline: the proxy keeps images as uint8; leave the '
                          f'normalisation to the data_preprocessor (got {image.dtype})')
    label = getattr(sample['data_samples'], 'gt_label', None)
    if label is None or label.numel() != 1:
        raise ConfigError('train_dataloader: the proxy needs one class label for each image')
    return resize(image, input_size).numpy(), int(label)


def resize(image: torch.Tensor, input_size: int) -> torch.Tensor:
    """C x H x W uint8 pixels in ``input_size`` x ``input_size``, antialiased bilinear; 0 leaves
    them as they are."""
    if not input_size or tuple(image.shape[1:]) == (input_size, input_size):
        return image
    # In float: torch's uint8 kernels differ by version and by instruction set.
    resized = F.interpolate(image[None].float(), (input_size, input_size), mode='bilinear',
                            align_corners=False, antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def make_samples(labels: np.ndarray, device: torch.device) -> List[Any]:
    """One mmpretrain ``DataSample`` with the class label for each row."""
    from mmpretrain.structures import DataSample
    rows = torch.from_numpy(np.array(labels)).to(device)
    return [DataSample().set_gt_label(row.view(1)) for row in rows]


def held_out_dataset_config(train: Dict[str, Any], val: Dict[str, Any]) -> Dict[str, Any]:
    """The training images behind the pipeline of validation: no augmentation."""
    config = copy.deepcopy(train)
    _set_pipeline(config, pipeline_of(val))
    return config


def _set_pipeline(config: Dict[str, Any], pipeline: Any) -> None:
    """Replace the pipeline where the images are read, below wrappers such as RepeatDataset."""
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        config.pop('pipeline', None)
        for item in inner if isinstance(inner, (list, tuple)) else [inner]:
            _set_pipeline(item, pipeline)
    else:
        config['pipeline'] = copy.deepcopy(pipeline)


def pipeline_of(config: Dict[str, Any]) -> Any:
    """The pipeline of a dataset's config, below wrappers such as RepeatDataset."""
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        return pipeline_of(inner[0] if isinstance(inner, (list, tuple)) else inner)
    return config['pipeline']

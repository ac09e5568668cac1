"""The images of the proxy: chosen, augmented and decoded once, kept as arrays of pixels."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from autokd_mm.engine.proxy import ProxySettings
from autokd_mm.seeding import seeded
from autokd_mm.space.errors import ConfigError

Progress = Callable[[str, int, int], None]


def choose_images(settings: ProxySettings, dataset: Any) -> Dict[str, np.ndarray]:
    """Which training images the proxy takes: sample indices of ``train`` and ``held_out``.

    Raises:
        ConfigError: more are asked for than there are.
    """
    train, held_out = choose(_class_labels(dataset), len(dataset), settings.images,
                             settings.held_out, settings.seed)
    return dict(train=train, held_out=held_out)


def _class_labels(dataset: Any) -> Any:
    return dataset.get_gt_labels() if hasattr(dataset, 'get_gt_labels') else None


def choose(labels: Optional[Sequence[int]], total: int, train: int, held_out: int,
           seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """Two disjoint, class-balanced sets of sample indices out of ``total``.

    Samples are shuffled within each class, then dealt out one class after another, so any prefix
    is as balanced as the data allow.

    Raises:
        ConfigError: more samples are asked for than there are, or a set too small to compare.
    """
    for key, wanted, least in (('proxy.images', train, 2), ('proxy.held_out', held_out, 2)):
        if wanted < least:
            raise ConfigError(f'{key}={wanted}: at least {least} images are needed')
    if train + held_out > total:
        raise ConfigError(f'proxy.images={train} and proxy.held_out={held_out} need '
                          f'{train + held_out} training images, the dataset has {total}')
    generator = np.random.default_rng(seed)
    order = generator.permutation(total)
    if labels is not None:
        classes = np.asarray(labels)[order]
        rank = np.zeros(total, dtype=np.int64)
        for value in np.unique(classes):
            members = np.flatnonzero(classes == value)
            rank[members] = np.arange(len(members))
        order = order[np.argsort(rank, kind='stable')]
    return np.sort(order[held_out:held_out + train]), np.sort(order[:held_out])


def read_views(dataset: Any, indices: np.ndarray, views: int, seed: int, pixels: np.ndarray,
               labels: np.ndarray, progress: Progress = lambda what, done, total: None) -> None:
    """Run the pipeline once for each (sample, view), each with its own seed.

    Row ``view * len(indices) + position`` is sample ``indices[position]``. Sample ``i`` in view
    ``v`` is always the same pixels, whatever was read before it.

    Args:
        pixels: filled; rows x C x H x W, uint8, as the pipeline packs them (not normalised).
        labels: filled; rows, int64.

    Raises:
        ConfigError: a sample is not one uint8 image with a class label, or sizes differ.
    """
    for view in range(views):
        for position, index in enumerate(indices):
            row = view * len(indices) + position
            image, label = read_one(dataset, int(index), view, seed)
            if tuple(image.shape) != pixels.shape[1:]:
                raise ConfigError('train_pipeline: the images of the proxy differ in size '
                                  f'({tuple(image.shape)} and {pixels.shape[1:]}); crop or '
                                  'resize them to one size')
            pixels[row], labels[row] = image, label
            if row % 64 == 0:
                progress('reading images', row, len(labels))


def read_one(dataset: Any, index: int, view: int, seed: int) -> Tuple[np.ndarray, int]:
    """The C x H x W uint8 pixels and the label of sample ``index`` in view ``view``."""
    with seeded(seed, index, view):
        sample = dataset[index]
    image = sample['inputs']
    if image.dtype != torch.uint8:
        raise ConfigError('train_pipeline: the proxy keeps images as uint8; leave the '
                          f'normalisation to the data_preprocessor (got {image.dtype})')
    label = getattr(sample['data_samples'], 'gt_label', None)
    if label is None or label.numel() != 1:
        raise ConfigError('train_dataloader: the proxy needs one class label for each image')
    return image.numpy(), int(label)


def make_samples(labels: np.ndarray, device: torch.device) -> List[Any]:
    """One mmpretrain ``DataSample`` with the class label for each row."""
    from mmpretrain.structures import DataSample
    rows = torch.from_numpy(np.array(labels)).to(device)
    return [DataSample().set_gt_label(row.view(1)) for row in rows]


def held_out_dataset_config(train: Dict[str, Any], val: Dict[str, Any]) -> Dict[str, Any]:
    """The training images behind the pipeline of validation: no augmentation."""
    config = copy.deepcopy(train)
    _set_pipeline(config, _pipeline(val))
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


def _pipeline(config: Dict[str, Any]) -> Any:
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        return _pipeline(inner[0] if isinstance(inner, (list, tuple)) else inner)
    return config['pipeline']

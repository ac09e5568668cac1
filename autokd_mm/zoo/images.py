"""The size of a config's images, as its pipelines make them."""
from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Tuple

from autokd_mm.datasets.pipelines import has_pipeline, pipeline_of

# Small, of two different sides, and a multiple of every stride that is in use.
_PROBE = (256, 384)
_OF_DATASETS = {'CIFAR': 32, 'MNIST': 28, 'Digits': 8}
_KEYS = ('scale', 'crop_size', 'size', 'img_scale')


def steps_of(config: Mapping[str, Any], loader: str) -> List[Any]:
    """The pipeline of ``train_dataloader`` or ``val_dataloader``; empty where there is none."""
    dataset = (config.get(loader) or {}).get('dataset') or {}
    return list(pipeline_of(dataset)) if has_pipeline(dataset) else []


def sizes_in(steps: Any) -> Iterator[Tuple[str, Tuple[int, int]]]:
    """Type of each step that sets a size, and the size as (shorter, longer) side in pixels; of
    several that are drawn from, the largest."""
    for step in steps if isinstance(steps, (list, tuple)) else ():
        if isinstance(step, (list, tuple)):
            yield from sizes_in(step)
            continue
        if not isinstance(step, Mapping):
            continue
        for nested in ('transforms', ):
            yield from sizes_in(step.get(nested))
        kind = str(getattr(step.get('type'), '__name__', step.get('type')))
        for key in _KEYS:
            found = _sides(step.get(key, step.get(key + 's') if key == 'scale' else None))
            if found:
                yield kind, found
                break


def _sides(value: Any) -> Optional[Tuple[int, int]]:
    if isinstance(value, bool) or not value:
        return None
    if isinstance(value, int):
        return value, value
    if not isinstance(value, (list, tuple)):
        return None
    if all(isinstance(side, int) and not isinstance(side, bool) for side in value):
        own = [side for side in value if side > 0]
        return (min(own), max(own)) if len(value) <= 2 and own else None
    several = [found for found in map(_sides, value) if found]
    return max(several, default=None)


def side_of(config: Mapping[str, Any]) -> Optional[int]:
    """The side of a classifier's images in pixels; ``None`` where its pipelines do not say."""
    for loader in ('val_dataloader', 'train_dataloader'):
        crops = list(sizes_in(steps_of(config, loader)))
        if crops:
            return crops[-1][1][0]
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    while dataset.get('dataset'):
        dataset = dataset['dataset']
    return next((side for name, side in _OF_DATASETS.items() if name in str(dataset.get('type'))),
                None)


def training_side(config: Mapping[str, Any]) -> Optional[int]:
    """The side of a classifier's training images in pixels, which may be smaller than those of its
    validation; ``None`` where its pipelines do not say."""
    crops = list(sizes_in(steps_of(config, 'train_dataloader')))
    return crops[-1][1][0] if crops else side_of(config)


def dense_sizes(config: Mapping[str, Any]) -> List[Tuple[int, int]]:
    """(height, width) of images to try a detector or segmentor with: a small one, and, for
    networks that are made for one size, that of the training."""
    found = list(sizes_in(steps_of(config, 'train_dataloader')))
    own = found[-1][1] if found else None
    return [_PROBE] + ([own] if own and own != _PROBE else [])


def shorter_side(config: Mapping[str, Any], loader: str) -> int:
    """Of a detector's or segmentor's images in pixels, 0 where the pipeline does not say."""
    found = [sides[0] for kind, sides in sizes_in(steps_of(config, loader))]
    return found[-1] if found else 0

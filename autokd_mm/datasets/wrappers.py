"""What stands below the wrappers of a dataset: RepeatDataset, ConcatDataset and the like."""
from __future__ import annotations

from bisect import bisect_right
from typing import Any, Dict, Iterator, List, Optional, Tuple

from torch.utils.data import Subset

# Whose wrappers hand a sample on as it is. Another's ``__getitem__`` may do anything.
_KNOWN = ('mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'torch', 'autokd_mm')
_ASKS_FOR_MORE = ('get_indexes', 'get_indices')


def below(dataset: Any, index: int) -> Optional[Tuple[Any, int]]:
    """The dataset from which a wrapper takes its sample ``index``, and the index in there;
    ``None`` where ``dataset`` reads its images itself, or is a wrapper that nobody knows.

    mmengine's and mmdet's ConcatDataset, RepeatDataset, ClassBalancedDataset, mmpretrain's
    KFoldDataset, MultiImageMixDataset of mmdet and mmseg, torch's Subset and our SeededViews.
    """
    if not _known(dataset):
        return None
    if hasattr(dataset, 'cumulative_sizes') and hasattr(dataset, 'datasets'):
        part = bisect_right(dataset.cumulative_sizes, index)
        before = dataset.cumulative_sizes[part - 1] if part else 0
        return dataset.datasets[part], index - before
    inner = getattr(dataset, 'dataset', None)
    if inner is None:
        return None
    if isinstance(dataset, Subset):
        return inner, int(dataset.indices[index])
    if is_seeded(dataset):
        return inner, index % dataset.samples
    if hasattr(dataset, 'repeat_indices'):
        return inner, int(dataset.repeat_indices[index])
    if hasattr(dataset, 'times'):
        return inner, index % len(inner)
    if hasattr(dataset, 'num_splits') or mixes(dataset):  # these are as long as what is in them
        return inner, index
    return None


def source(dataset: Any, index: int) -> Tuple[Any, int]:
    """The dataset that reads the image of a sample, below all wrappers, and the index in there."""
    found = below(dataset, index)
    while found is not None:
        dataset, index = found
        found = below(dataset, index)
    return dataset, index


def is_seeded(dataset: Any) -> bool:
    """It is a :class:`~autokd_mm.datasets.SeededViews`."""
    return hasattr(dataset, 'views') and hasattr(dataset, 'samples') and _known(dataset)


def mixes(dataset: Any) -> bool:
    """It is a MultiImageMixDataset: a pipeline of its own over the images of another dataset."""
    return isinstance(getattr(dataset, 'pipeline', None), list) and hasattr(dataset, 'dataset')


def asks_for_more(transform: Any) -> bool:
    """It draws further images from a dataset: Mosaic, MixUp, CopyPaste."""
    return any(hasattr(transform, name) for name in _ASKS_FOR_MORE)


def inside(dataset: Any) -> List[Any]:
    """The datasets in a wrapper, of any kind."""
    inner = getattr(dataset, 'datasets', None)
    if isinstance(inner, (list, tuple)):
        return list(inner)
    inner = getattr(dataset, 'dataset', None)
    return [] if inner is None or isinstance(inner, str) else [inner]


def steps_of(dataset: Any) -> List[Any]:
    """The transforms of a dataset's own pipeline."""
    pipeline = getattr(dataset, 'pipeline', None)
    return list(getattr(pipeline, 'transforms', pipeline if isinstance(pipeline, list) else []))


def all_steps(dataset: Any) -> Iterator[Any]:
    """The transforms of a dataset and of all that it wraps."""
    yield from steps_of(dataset)
    for inner in inside(dataset):
        yield from all_steps(inner)


def _known(dataset: Any) -> bool:
    kind = type(dataset)
    if kind not in _HANDS_ON:  # asked for each image
        reads = getattr(kind, '__getitem__', None)
        _HANDS_ON[kind] = str(getattr(reads, '__module__', '')).split('.')[0] in _KNOWN
    return _HANDS_ON[kind]


_HANDS_ON: Dict[type, bool] = {}

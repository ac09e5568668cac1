"""The bank of a full training: outputs of the teacher's modules by sample and view."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from autokd_mm.bank.feature_bank import FeatureBank
from autokd_mm.bank.manifest import TornBank, read_manifest
from autokd_mm.errors import ConfigError, nearest

KIND = 'teacher outputs'
# Keys in the metainfo of a data sample that comes from SeededViews.
SAMPLE, VIEW, VIEW_SEED = 'view_sample', 'view', 'view_seed'
Output = Union[np.ndarray, Tuple[np.ndarray, ...]]


def keys_of(source: str, parts: Optional[int]) -> List[str]:
    """Names of the arrays of a module's output: its own, or ``name[0]``, ``name[1]`` ... where
    the module returns a tuple of ``parts`` tensors."""
    return [source] if parts is None else [f'{source}[{part}]' for part in range(parts)]


def read_made_from(path: str, key: str) -> Dict[str, Any]:
    """What a bank of teacher outputs was made from; its shards are not looked at.

    Args:
        key: config key or argument that named the folder.

    Raises:
        ConfigError: there is no such bank.
    """
    try:
        made_from = read_manifest(path)['made_from']
    except TornBank as torn:
        raise ConfigError(f'{key}: {path} holds no finished bank ({torn}); write it with '
                          'tools/cache_teacher.py') from None
    if made_from.get('kind') != KIND:
        raise ConfigError(f'{key}: {path} is the bank of a search; write one for training with '
                          'tools/cache_teacher.py')
    return made_from


class TeacherRecords:
    """Outputs of a teacher's modules on the pixels of (sample, view).

    Row ``view * samples + sample`` of an array belongs to the sample's seeded view.

    Args:
        path: folder of the bank.
        key: config key or argument that named it.

    Attributes:
        sources: module name -> ``None`` for one tensor, else the length of the tuple.
        samples, views, seed: of the training images.

    Raises:
        ConfigError: no such bank, or a torn one.
    """

    def __init__(self, path: str, key: str = 'model.bank.path') -> None:
        self.made_from = read_made_from(path, key)
        try:
            self.bank = FeatureBank(path)
        except TornBank as torn:
            raise ConfigError(f'{key}: torn or changed: {torn}; tools/cache_teacher.py and '
                              'tools/train.py --teacher-bank write these shards again') from None
        self.path, self._key = path, key
        self.samples, self.views, self.seed = (
            int(self.made_from['data'][name]) for name in ('samples', 'views', 'seed'))
        self.sources = sources_of(list(self.bank.arrays))

    def find(self, source: str, key: str) -> Optional[int]:
        """``self.sources[source]``.

        Raises:
            ConfigError: the bank does not hold that module.
        """
        if source not in self.sources:
            raise ConfigError(f'{key}: {nearest(source, list(self.sources))} (what the bank '
                              f'{self.path} holds; tools/cache_teacher.py --layers adds others)')
        return self.sources[source]

    def read(self, source: str, samples: Sequence[int], views: Sequence[int]) -> Output:
        """What the module returned for these images: N x ..., or a tuple of such."""
        rows = np.asarray(views, dtype=np.int64) * self.samples + np.asarray(samples, np.int64)
        parts = self.sources[source]
        found = [self.bank.rows(name, rows) for name in keys_of(source, parts)]
        return found[0] if parts is None else tuple(found)


def sources_of(names: Sequence[str]) -> Dict[str, Optional[int]]:
    """Module name -> length of its tuple, from the names of the arrays."""
    found: Dict[str, Optional[int]] = {}
    for name in names:
        source, bracket, _ = name.partition('[')
        found[source] = (found.get(source) or 0) + 1 if bracket else None
    return found


def where_from(data_samples: Any) -> Optional[Tuple[List[int], List[int], int]]:
    """Samples, views and seed of a batch; ``None`` where not all of it is from ``SeededViews``."""
    data_samples = data_samples or []
    views = [getattr(sample, VIEW) for sample in data_samples
             if getattr(sample, VIEW, None) is not None]
    if not views or len(views) < len(data_samples):
        return None
    samples = [getattr(sample, SAMPLE) for sample in data_samples]
    return samples, views, getattr(data_samples[0], VIEW_SEED)

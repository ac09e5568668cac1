"""What a config does to whole batches of images: mixup, cutmix, another size for each batch."""
from __future__ import annotations

from typing import Any, List, Optional, Tuple

from torch import nn

from autokd_mm.errors import ConfigError

# They only pad, as every batch is padded.
_PADDING = ('BatchFixedSizePad', )
_SIZES = ('BatchSyncRandomResize', 'BatchResize')


def refuse_mixing(config: Any, student: Any) -> None:
    """Mixed images differ from step to step; no bank can hold the teacher on them.

    Raises:
        ConfigError: names the key that asks for it, and what it asks for.
    """
    found = mixing(config, student)
    if found is not None:
        key, names = found
        if set(names) <= set(_SIZES):
            raise ConfigError(f'{key}: {in_words(names)} gives each batch another size, which a '
                              'cached teacher has not seen; leave it out, or let the teacher run')
        raise ConfigError(f'{key}: {in_words(names)}: batch-level mixing (mixup, cutmix) and a '
                          'cached teacher exclude each other; leave it out, or let the teacher '
                          'run')


def mixing(config: Any, student: Any) -> Optional[Tuple[str, List[str]]]:
    """The key that asks for batch-level augmentation and the types it names; ``None`` where there
    is none but padding.

    Args:
        config: of a search or a training.
        student: as built from ``config.model.architecture``.
    """
    own, whole = config.model.architecture, config.model.get('data_preprocessor')
    places = {
        'model.architecture.train_cfg': (own.get('train_cfg') or {}).get('augments'),
        'model.architecture.data_preprocessor.batch_augments':
            (own.get('data_preprocessor') or {}).get('batch_augments'),
        'data_preprocessor.batch_augments':
            (config.get('data_preprocessor') or {}).get('batch_augments'),
        'model.architecture':
            getattr(getattr(student, 'data_preprocessor', None), 'batch_augments', None)}
    if whole:  # the algorithm's own: the student's is not asked
        places = {'model.data_preprocessor.batch_augments': whole.get('batch_augments')}
    for key, found in places.items():
        names = [name for name in _names(found) if name not in _PADDING]
        if names:
            return key, names
    return None


def leave_out_mixing(preprocessor: Any) -> None:
    """Let a ``data_preprocessor`` pad, and do nothing else to a batch."""
    found = getattr(preprocessor, 'batch_augments', None)
    if found is None:
        return
    kept = [one for one in found if type(one).__name__ in _PADDING] if isinstance(
        found, nn.ModuleList) else []
    preprocessor.batch_augments = nn.ModuleList(kept) if kept else None


def says_left_out(key: str, names: List[str]) -> str:
    """One line for the log of a search."""
    if set(names) <= set(_SIZES):
        return (f'{key}: the proxy leaves {in_words(names)} out, because its teacher is cached; '
                'the full training gives batches their sizes and runs the teacher')
    return (f'{key}: the proxy leaves the mixing of images out ({in_words(names)}), because its '
            'teacher is cached; the full training mixes them and runs the teacher')


def in_words(names: List[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    return ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))


def _names(found: Any) -> List[str]:
    """The types in a config of batch augmentations, or in what was built of one."""
    if not found:
        return []
    if isinstance(found, dict):
        if 'type' not in found:
            return _names(found.get('augments'))
        kind = found['type']
        return [(kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]]
    if isinstance(found, (list, tuple, nn.ModuleList)):
        return [name for one in found for name in _names(one)]
    inner = getattr(found, 'augments', None)  # mmpretrain's RandomBatchAugment
    return _names([one for one in inner if one is not None]) if inner else [type(found).__name__]

"""Batch-level mixing of images (mixup, cutmix and the like), as a config asks for it."""
from __future__ import annotations

from typing import Any, Optional

from autokd_mm.errors import ConfigError


def refuse_mixing(config: Any, student: Any) -> None:
    """Mixed images differ from step to step; no bank can hold the teacher on them.

    Raises:
        ConfigError: names the key that asks for mixup, cutmix and the like.
    """
    key = mixing(config, student)
    if key:
        raise ConfigError(f'{key}: batch-level mixing (mixup, cutmix) and a cached teacher '
                          'exclude each other; leave it out, or let the teacher run')


def mixing(config: Any, student: Any) -> Optional[str]:
    """The key that asks for mixup, cutmix and the like; ``None`` where none does.

    Args:
        config: of a search or a training.
        student: as built from ``config.model.architecture``.
    """
    own, whole = config.model.architecture, config.model.get('data_preprocessor')
    if whole:  # the algorithm's own: the student's is not asked
        return 'model.data_preprocessor.batch_augments' if whole.get('batch_augments') else None
    places = {'model.architecture.train_cfg': (own.get('train_cfg') or {}).get('augments'),
              'model.architecture.data_preprocessor.batch_augments':
                  (own.get('data_preprocessor') or {}).get('batch_augments'),
              'data_preprocessor.batch_augments':
                  (config.get('data_preprocessor') or {}).get('batch_augments'),
              'model.architecture':
                  getattr(getattr(student, 'data_preprocessor', None), 'batch_augments', None)}
    return next((key for key, found in places.items() if found), None)

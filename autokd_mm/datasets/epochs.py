"""Dataloaders that give a training no epoch."""
from __future__ import annotations

from typing import Any

from autokd_mm.errors import ConfigError

# MMEngine's and MMDetection's that begin again and again, also by other names and in batches.
_ENDLESS = ('InfiniteSampler', 'MultiSourceSampler', 'GroupMultiSourceSampler')


def refuse_no_epoch(dataloader: Any, by_epoch: bool) -> None:
    """Refuse a dataloader without a batch, and one without an end in a loop that counts epochs.

    Args:
        dataloader: of the training images, as built.
        by_epoch: whether its loop counts epochs.

    Raises:
        ConfigError: names what of ``train_dataloader`` is at fault.
    """
    samplers = (getattr(dataloader, name, None) for name in ('sampler', 'batch_sampler'))
    endless = next((type(sampler).__name__ for sampler in samplers
                    for base in type(sampler).__mro__ if base.__name__ in _ENDLESS), None)
    if endless and by_epoch:
        raise ConfigError(f'train_dataloader.sampler: {endless} never ends an epoch, and the '
                          'training counts epochs; use DefaultSampler, or by_epoch=False with '
                          'max_iters')
    if not endless and len(dataloader) == 0:
        raise ConfigError(f'train_dataloader.drop_last=True: {len(dataloader.dataset)} images make '
                          f'no batch of {dataloader.batch_size}; make batch_size smaller, or '
                          'drop_last=False')

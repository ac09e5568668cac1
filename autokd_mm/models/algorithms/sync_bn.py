"""Normalisation over all GPUs, where there is none."""
from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from torch import nn

# As configs write it; ``MMSyncBN`` is mmcv's own.
_NAMES = ('SyncBN', 'MMSyncBN')


def without_sync_bn(network: Any) -> Any:
    """A network, or its config, with BatchNorm in the place of SyncBN, unless there is a GPU.

    Torch refuses SyncBN on a CPU as soon as there are several processes. Names, weights and
    statistics stay, and one process computes the same numbers.

    Args:
        network: a config stays as it is, and a changed copy comes back; a built network is changed.
    """
    if torch.cuda.is_available() or not _has(network):
        return network
    _say()
    return revert_sync_batchnorm(network) if isinstance(network, nn.Module) else _plain(network)


def _has(network: Any) -> bool:
    if isinstance(network, nn.Module):
        return any(type(module).__name__ == 'SyncBatchNorm' for module in network.modules())
    if isinstance(network, dict):
        return network.get('type') in _NAMES or any(map(_has, network.values()))
    return isinstance(network, (list, tuple)) and any(map(_has, network))


def _plain(config: Any) -> Any:
    if isinstance(config, dict):
        return type(config)({key: 'BN' if key == 'type' and value in _NAMES else _plain(value)
                             for key, value in config.items()})
    return type(config)(map(_plain, config)) if isinstance(config, (list, tuple)) else config


@lru_cache(maxsize=None)
def _say() -> None:
    """Once in a process, however many networks there are."""
    print_log('SyncBN needs GPUs, there is none: BatchNorm takes its place', 'current',
              logging.WARNING)

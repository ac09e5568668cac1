"""The network that goes out: built from a config, with the weights of a checkpoint."""
from __future__ import annotations

import copy
import os
from glob import escape, glob

from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.algorithms.teacher import load_network
from autokd_mm.pairs.images import KEY, student_alone
from autokd_mm.registry import MODELS


def config_beside(checkpoint: str) -> str:
    """The config that a training has left beside its checkpoints.

    The checkpoint holds its text, too, but whoever reads a config runs it, and a file of weights
    shall be read without running anything.

    Raises:
        CheckpointError: there is no such checkpoint.
        ConfigError: there is no config beside it, or several.
    """
    if not os.path.isfile(checkpoint):
        raise CheckpointError(f'CHECKPOINT: there is no file {checkpoint}')
    folder = os.path.dirname(os.path.abspath(checkpoint))
    found = sorted(glob(os.path.join(escape(folder), '*.py')))
    if len(found) != 1:
        names = ', '.join(map(os.path.basename, found[:5]))
        beside = f'several beside {checkpoint} ({names})' if found else f'none beside {checkpoint}'
        raise ConfigError(f'--config: name the config of the training; there is {beside}')
    return found[0]


def student_of(config: Config, checkpoint: str) -> BaseModel:
    """The student of a distillation, or the network of any other config, on the CPU, in evaluation
    mode.

    Args:
        config: of the training; its forms are read (see :mod:`autokd_mm.pairs.forms`).
        checkpoint: of the training, or of the student alone.

    Raises:
        CheckpointError: it is of another network.
    """
    init_default_scope(config.get('default_scope', 'mmengine'))
    if 'architecture' in config.model:
        model = student_alone(config)
    else:
        model = copy.deepcopy(config.model)
        if config.get(KEY):
            model.setdefault(KEY, copy.deepcopy(config[KEY]))
    network = MODELS.build(model)
    load_network(network, checkpoint, 'CHECKPOINT')
    return revert_sync_batchnorm(network).cpu().eval()

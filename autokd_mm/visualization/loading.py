"""The networks and the image of a picture."""
from __future__ import annotations

import copy
import os
from typing import Any, Dict, Tuple

import mmcv
import numpy as np
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import TRANSFORMS, init_default_scope

from autokd_mm.datasets.pipelines import pipeline_of
from autokd_mm.errors import CheckpointError, ConfigError, DataError
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.algorithms.colours import channels_of
from autokd_mm.models.algorithms.renormalise import flips_channels
from autokd_mm.models.algorithms.teacher import load_network, read_checkpoint
from autokd_mm.pairs.forms import as_frozen, read_forms
from autokd_mm.registry import MODELS

AS_INITIALISED = 'The checkpoint has no connectors: they are as initialised.'
_CONNECTORS = 'distiller.'


def load_model(config: Any, checkpoint: str) -> Tuple[Any, str]:
    """The distillation of a config with the weights of ``checkpoint`` in its student.

    Returns:
        The model, and a remark: :data:`AS_INITIALISED` where the distiller has weights of its own
        that are not in the checkpoint, else ''.

    Raises:
        ConfigError: the config is no distillation, or of another algorithm, or has no teacher.
        CheckpointError: the checkpoint is of something else.
    """
    if 'architecture' not in config.model or 'distiller' not in config.model:
        raise ConfigError('CONFIG: it trains one network alone; name a config of configs/distill '
                          'or the best_distiller.py of a search')
    init_default_scope(config.get('default_scope', 'mmengine'))
    config = copy.deepcopy(config)
    read_forms(config)
    as_frozen(config)
    kind = MODELS.get(str(config.model.type))
    if isinstance(kind, type) and not issubclass(kind, FrozenTeacherDistill):
        raise ConfigError(f'model.type: what a {kind.__name__} compares cannot be drawn; it must '
                          'be a mmrazor.FrozenTeacherDistill, or one of MMRazor that is read as it')
    if not config.model.get('teacher_ckpt'):
        raise ConfigError('teacher_ckpt is not set: name the checkpoint of the trained teacher '
                          '(--cfg-options teacher_ckpt=FILE)')
    config.model.pop('bank', None)  # the picture may be of any image
    model = MODELS.build(config.model)
    model.init_weights()
    load_network(model.architecture, checkpoint, 'CHECKPOINT')
    own = model.distiller.state_dict()
    given = {name[len(_CONNECTORS):]: value
             for name, value in read_checkpoint(checkpoint, 'CHECKPOINT').items()
             if name.startswith(_CONNECTORS)}
    if not own:
        return model, ''
    if not given:
        return model, AS_INITIALISED
    for name, value in own.items():
        if name not in given or given[name].shape != value.shape:
            raise CheckpointError(f'CHECKPOINT: {checkpoint} is of another distiller: its '
                                  f'{_CONNECTORS}{name} does not fit')
    model.distiller.load_state_dict({name: given[name] for name in own})
    return model, ''


def load_image(config: Any, model: Any, path: str) -> Tuple[Dict[str, Any], np.ndarray]:
    """A batch of one image behind the config's test pipeline, and the image, H x W x 3, RGB.

    Where the data set of the config reads no files, the image is taken at its own size, with as
    many channels as the data preprocessor normalises.

    Raises:
        DataError: there is no such file, or it is no image.
        ConfigError: the config has no ``test_dataloader``.
    """
    if config.get('test_dataloader') is None:
        raise ConfigError('test_dataloader is missing: its pipeline prepares the image')
    if not os.path.isfile(path):
        raise DataError(f'IMAGE: there is no file {path}')
    preprocessor = model.data_preprocessor
    mean = getattr(preprocessor, 'mean', None)
    channels = channels_of(model.architecture) or (3 if mean is None else mean.numel())
    flips = flips_channels(preprocessor)
    pixels = mmcv.imread(path, 'grayscale' if channels == 1 else 'color')
    if pixels is None:
        raise DataError(f'IMAGE: {path} cannot be read as an image')
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    steps = [step for step in pipeline_of(config.test_dataloader.dataset)
             if 'Annotations' not in step['type']]
    sample = dict(img_path=path, img_id=0, sample_idx=0, ori_shape=pixels.shape[:2],
                  img_shape=pixels.shape[:2])
    if not any('LoadImage' in step['type'] for step in steps):
        sample['img'] = pixels if flips or channels == 1 else pixels[..., ::-1].copy()
    data = pseudo_collate([Compose([TRANSFORMS.build(step) for step in steps])(sample)])
    seen = data['inputs'][0].permute(1, 2, 0).numpy()
    if channels == 1:
        seen = seen.repeat(3, axis=2)
    return data, np.ascontiguousarray(seen[..., ::-1] if flips and channels == 3 else seen)

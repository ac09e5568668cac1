"""The teacher before the search: trained where that is asked for, checked, measured."""
from __future__ import annotations

import copy
import os
from typing import Any, Dict, Optional

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from autokd_mm.bank.identity import weights_digest
from autokd_mm.models.algorithms import load_teacher
from autokd_mm.space.errors import ConfigError
from autokd_mm.whole_file import replacing

CHECKPOINT = 'teacher.pth'


def teacher_id(teacher: nn.Module) -> str:
    """Digest of the teacher's weights, whatever file they came from."""
    return weights_digest(teacher.state_dict())


def made_from(teacher: nn.Module, config: Config) -> Dict[str, Any]:
    """JSON values that identify a teacher: its weights, and what a config adds to them, such as
    the normalisation of its images, which is no part of a state dict."""
    own = own_config(config)
    own.pop('init_cfg', None)  # where weights came from; they are known by their digest
    return dict(teacher=teacher_id(teacher), teacher_config=repr(_plain(own)))


def own_config(config: Config) -> Dict[str, Any]:
    """``config.model.teacher``; where it says nothing of how images are normalised, as the
    student's are."""
    own = copy.deepcopy(config.model.teacher)
    if own.get('data_preprocessor') is None and 'cfg_path' not in own:
        own.data_preprocessor = copy.deepcopy(
            config.get('data_preprocessor') or config.model.architecture.get('data_preprocessor'))
    return own


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def train_teacher(config: Config, full_training: Dict[str, Any], work_dir: str) -> str:
    """Train ``config.model.teacher`` like the student will be, and keep its weights.

    Returns:
        ``<work_dir>/teacher.pth``.
    """
    path = os.path.join(work_dir, CHECKPOINT)
    own = copy.deepcopy(config)
    own.model = own_config(config)
    own.train_cfg = copy.deepcopy(full_training)
    own.work_dir = os.path.join(work_dir, 'teacher')
    own.experiment_name = f'teacher_of_{os.path.basename(os.path.normpath(work_dir))}'
    own.load_from, own.resume = None, True  # an interrupted training goes on where it was
    runner = Runner.from_cfg(own)
    runner.train()
    save_weights(runner.model.state_dict(), path)
    return path


def save_weights(state_dict: Dict[str, Any], path: str) -> None:
    """Write a checkpoint of weights alone; ``path`` is there only when it is complete."""
    with replacing(path) as unfinished:
        torch.save(dict(state_dict=state_dict, meta={}), unfinished)


def evaluate(model: Any, val_loop: Any) -> Dict[str, float]:
    """The metrics of a :class:`FrozenTeacherDistill`'s teacher on the validation dataloader."""
    teacher = model.teacher.eval()
    loader, evaluator = val_loop.dataloader, val_loop.evaluator
    if hasattr(loader.dataset, 'metainfo'):
        evaluator.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for data in loader:
            ready = model.data_preprocessor(data, False)
            inputs = ready['inputs']
            if model.renormalise is not None:
                inputs = model.renormalise(inputs)
            found = teacher(inputs, ready['data_samples'], mode='predict')
            evaluator.process(data_samples=found, data_batch=data)
    return evaluator.evaluate(len(loader.dataset))


def ensure_teacher(model: Any, config: Config, full_training: Dict[str, Any], work_dir: str,
                   train: bool) -> str:
    """Path of the teacher's checkpoint; trains it first where ``train`` says so.

    Raises:
        ConfigError: there is no checkpoint and nobody asked to train one.
    """
    path = find_checkpoint(model.teacher, config, work_dir, train)
    if path is None:
        if not train:
            raise ConfigError('teacher_ckpt is not set: name the checkpoint of the trained '
                              'teacher (--cfg-options teacher_ckpt=FILE)')
        path = train_teacher(config, full_training, work_dir)
        load_teacher(model.teacher, path)
    return path


def find_checkpoint(teacher: nn.Module, config: Config, work_dir: str,
                    train: bool) -> Optional[str]:
    """The checkpoint that ``teacher`` holds: the config's, or, where teachers are trained here,
    the one that was trained in this work dir, which is loaded."""
    path = config.model.get('teacher_ckpt')
    if not path and train and os.path.isfile(os.path.join(work_dir, CHECKPOINT)):
        path = os.path.join(work_dir, CHECKPOINT)
        load_teacher(teacher, path)
    return path or None

"""The teacher before the search: trained where that is asked for, checked, measured."""
from __future__ import annotations

import copy
import hashlib
import os
from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from autokd_mm.models.algorithms import load_teacher
from autokd_mm.space.errors import ConfigError

CHECKPOINT = 'teacher.pth'


def teacher_id(teacher: nn.Module) -> str:
    """Digest of the teacher's weights, whatever file they came from."""
    digest = hashlib.blake2b(digest_size=12)
    for name, value in sorted(teacher.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train_teacher(config: Config, full_training: Dict[str, Any], work_dir: str) -> str:
    """Train ``config.model.teacher`` like the student will be, and keep its weights.

    Returns:
        ``<work_dir>/teacher.pth``; nothing is trained when it is there already.
    """
    path = os.path.join(work_dir, CHECKPOINT)
    if os.path.isfile(path):
        return path
    own = copy.deepcopy(config)
    own.model = own.model.teacher
    own.train_cfg = copy.deepcopy(full_training)
    own.work_dir = os.path.join(work_dir, 'teacher')
    own.experiment_name = f'teacher_of_{os.path.basename(os.path.normpath(work_dir))}'
    own.load_from, own.resume = None, True  # an interrupted training goes on where it was
    runner = Runner.from_cfg(own)
    runner.train()
    unfinished = f'{path}.unfinished-{os.getpid()}'
    torch.save(dict(state_dict=runner.model.state_dict()), unfinished)
    os.replace(unfinished, path)
    return path


def evaluate(model: nn.Module, val_loop: Any) -> Dict[str, float]:
    """The metrics of ``model`` on the validation dataloader."""
    model.eval()
    loader, evaluator = val_loop.dataloader, val_loop.evaluator
    if hasattr(loader.dataset, 'metainfo'):
        evaluator.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for data in loader:
            evaluator.process(data_samples=model.val_step(data), data_batch=data)
    return evaluator.evaluate(len(loader.dataset))


def ensure_teacher(model: Any, config: Config, full_training: Dict[str, Any], work_dir: str,
                   train: bool) -> str:
    """Path of the teacher's checkpoint; trains it first where ``train`` says so.

    Raises:
        ConfigError: there is no checkpoint and nobody asked to train one.
    """
    path = config.model.get('teacher_ckpt')
    if path:
        return path
    if not train:
        raise ConfigError('teacher_ckpt is not set: name the checkpoint of the trained teacher '
                          '(--cfg-options teacher_ckpt=FILE)')
    path = train_teacher(config, full_training, work_dir)
    load_teacher(model.teacher, path)
    return path

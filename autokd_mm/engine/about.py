"""What a search tells of itself in its study, for those who read it later."""
from __future__ import annotations

import os
import platform
from typing import Any, Dict, List, Mapping, Optional

import torch

from autokd_mm.engine.expectation import FullLength
from autokd_mm.engine.final_round import FinalRound
from autokd_mm.installed import OPENMMLAB, distributions_by_name
from autokd_mm.task import Task
from autokd_mm.version import __version__

_PACKAGES = ('torch', 'torchvision', 'numpy', 'optuna', 'mmrazor', *OPENMMLAB)


def about(config: Any, task: Task, final: Optional[FinalRound], length: Optional[FullLength],
          samples: int, held_out: int, differences: List[str], sampler: str,
          reward: Mapping[str, float]) -> Dict[str, Any]:
    """JSON values for :func:`~autokd_mm.study.about.set_about`.

    Nothing of the command line is in it, which may hold a password; MMEngine has written the
    config, without one, into the work dir.

    Args:
        config: of the runner.
        length: of the full training.
        samples: that a run on the proxy sees.
        held_out: images on which it is measured.
        differences: between proxy and full training, in words.
        reward: weights of the search's terms.
    """
    return dict(
        reward=dict(reward),
        final=final and dict(reward=final.reward.weights, seeds=final.settings.seeds,
                             handcrafted=final.first, budget=final.settings.budget),
        full=length and dict(samples=length.samples, words=length.words), samples=samples,
        held_out=held_out,
        layers=[dict(name=pair.name, student=pair.student, teacher=pair.teacher,
                     student_shape=list(pair.student_shape),
                     teacher_shape=list(pair.teacher_shape)) for pair in task.layers.all],
        networks=dict(student=_network(task.student), teacher=_network(task.model.teacher)),
        data=_data(task.dataloader.dataset),
        differences=list(differences), sampler=sampler,
        config=os.path.basename(config.filename) if config.filename else None,
        packages=_packages(), machine=_machine())


def _network(model: torch.nn.Module) -> Dict[str, Any]:
    """Name and size; several teachers are told as one."""
    backbone = getattr(model, 'backbone', model)
    depth = getattr(backbone, 'depth', None)
    return dict(name=type(backbone).__name__ + (f' of depth {depth}' if depth else ''),
                parameters=sum(parameter.numel() for parameter in model.parameters()))


def _data(dataset: Any) -> str:
    while not hasattr(dataset, 'metainfo') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return f'{type(dataset).__name__}, {len(dataset):,} training images'


def _packages() -> Dict[str, str]:
    found = distributions_by_name(*_PACKAGES)
    return dict(autokd_mm=__version__, python=platform.python_version(),
                **{name: found[name].version for name in _PACKAGES if name in found})


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{platform.system()} {platform.machine()}, {cores} cores, {gpu}'

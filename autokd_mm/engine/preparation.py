"""What costs once before the first trial: the teacher's banks, the factors of the layers."""
from __future__ import annotations

import os
from typing import Any, Callable, List, Mapping, Optional

from autokd_mm.proxy.data import Progress
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.task.task import Task
from autokd_mm.teacher.proxy_banks import open_banks


def prepare_trainer(task: Task, work_dir: str, teacher_made_from: Mapping[str, Any],
                    curve: List[float], warn: Callable[[str], None], progress: Progress,
                    ranks: Optional[Ranks] = None) -> ProxyTrainer:
    """A trainer of candidates; the task's layers get their factors.

    Args:
        task: its model has the trained teacher.
        work_dir: banks are in ``bank`` below it, written where they are missing.
        teacher_made_from: JSON values that identify the teacher.
        curve: learning-rate factors of the full training, of :meth:`Task.curve`.
        ranks: by default those of this process.

    Raises:
        ConfigError: of :func:`open_banks` and :meth:`Task.weigh`.
    """
    ranks = ranks or Ranks()
    banks = open_banks(os.path.join(work_dir, 'bank'), task.proxy, task.datasets(), task.images,
                       task.model, teacher_made_from, task.layers, warn, progress)
    task.weigh(banks['train'])
    task.layers = ranks.same(task.layers)
    return ProxyTrainer(task.fresh_student, task.layers, banks['train'], banks['held_out'],
                        task.proxy, task.config.optim_wrapper, curve, task.device, ranks)

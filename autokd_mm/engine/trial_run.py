"""A few steps of everything that a search does, with a clock: what one of each takes here."""
from __future__ import annotations

import copy
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Dict, List, Optional

import optuna
import torch
from mmengine.optim import build_optim_wrapper

from autokd_mm.engine.preparation import prepare_trainer
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.optim import usable
from autokd_mm.proxy.failures import CandidateFailed, one_line_reason
from autokd_mm.proxy.stepping import quiet
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.task.task import Task
from autokd_mm.teacher import checkpoint as teachers

# Random distillers that are tried, fewer where they take long (seconds); steps of each.
DISTILLERS, ENOUGH, STEPS = 8, 40.0, 4
# Steps and batches of the teacher's training and validation, without the first.
_BATCHES = 5


@dataclass
class Pace:
    """Seconds, of one worker with all that this process has.

    Attributes:
        row: of the bank, one image in one view, read and shown to the teacher.
        row_bytes: of the bank, on disk.
        step: of a candidate on the proxy, mean over random distillers.
        plain_step: without distillation.
        image: measuring a candidate on a held-out one.
        begin: what a run takes beside its steps.
        teacher_step, teacher_image: of the teacher's training, and of its validation.
        memory, gpu_memory: bytes at most so far; None: no GPU.
    """
    row: float = 0.0
    row_bytes: float = 0.0
    step: float = 0.0
    plain_step: float = 0.0
    image: float = 0.0
    begin: float = 0.0
    teacher_step: float = 0.0
    teacher_image: float = 0.0
    memory: int = 0
    gpu_memory: Optional[int] = None


def pace_of(task: Task, runner: Any, trained: bool) -> Pace:
    """Measure on a bank of a few batches in a folder that is gone afterwards.

    Args:
        task: of the search; not changed.
        trained: the teacher is there.

    Raises:
        ConfigError, CandidateFailed: nothing can be trained.
    """
    found = Pace()
    if not trained:
        _measure_teacher(found, task, runner)
    with tempfile.TemporaryDirectory(prefix='autokd-estimate-') as folder:
        trainer = _small_trainer(found, task, folder)
        _measure_trials(found, task, trainer)
        del trainer
    found.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if task.device.type == 'cuda':
        found.gpu_memory = torch.cuda.max_memory_allocated(task.device)
    return found


def _small_trainer(found: Pace, task: Task, folder: str) -> ProxyTrainer:
    images = len(task.dataloader.dataset)
    train, held_out = task.proxy.counts(images)
    batch = task.proxy.batch_size
    small = copy.copy(task)
    small._say = lambda line: None  # these are not the factors of the search
    small.proxy = replace(task.proxy, images=min(train, STEPS * batch), epochs=1, iterations=0,
                          held_out=min(held_out, max(2 * batch, 32)), select='class_balanced')
    small.__dict__.pop('images', None)  # chosen for the whole proxy
    watch = _Rows()
    trainer = prepare_trainer(small, folder, teachers.made_from(task.model.teacher, task.config),
                              [1.0], lambda line: None, watch)
    found.row = watch.seconds / max(watch.rows, 1)
    size = sum(os.path.getsize(os.path.join(place, name))
               for place, _, names in os.walk(folder) for name in names)
    found.row_bytes = size / max(len(trainer.train_images) + len(trainer.held_out.images), 1)
    return trainer


@dataclass
class _Rows:
    """Takes a bank's progress: seconds from its first image to its last."""
    seconds: float = 0.0
    rows: int = 0
    _begun: Dict[int, float] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        begun = self._begun.setdefault(total, now)
        if done == total:
            self.seconds += now - begun
            self.rows += total
            del self._begun[total]


def _measure_trials(found: Pace, task: Task, trainer: ProxyTrainer) -> None:
    now = _clock(task)
    initial = trainer.builder.initial(trainer.settings.seed)
    steps = trainer.settings.steps(trainer.images)
    with one_line_reason():
        trainer.measure(trainer.train(None))  # the first time is another
    builds: List[float] = []
    plain: List[float] = []
    taught: List[float] = []
    measures: List[float] = []

    def run(spec: Any, into: List[float]) -> None:
        with one_line_reason():
            start = now()
            trainer.builder.build(spec, initial)
            built = now()
            student = trainer.train(spec)
            after = now()
            trainer.measure(student)
        builds.append(built - start)
        into.append((after - built - (built - start)) / steps)
        measures.append(now() - after)

    run(None, plain)
    sampler = optuna.samplers.RandomSampler(seed=task.proxy.seed)
    study, begun = optuna.create_study(sampler=sampler), time.perf_counter()
    failed: Optional[CandidateFailed] = None
    for _ in range(2 * DISTILLERS):
        if len(taught) == DISTILLERS or taught and time.perf_counter() - begun > ENOUGH:
            break
        try:
            run(task.space.suggest(study.ask()), taught)
        except CandidateFailed as error:
            failed = error
    if not taught and failed is not None:
        raise failed
    found.step, found.plain_step = _mean(taught), plain[0]
    found.image = _mean(measures) / len(trainer.held_out.images)
    found.begin = _mean(builds)


def _measure_teacher(found: Pace, task: Task, runner: Any) -> None:
    """Training and validation of each teacher, together."""
    now = _clock(task)
    for teacher, _ in each_teacher(task.model):
        own = copy.deepcopy(teacher).to(task.device).requires_grad_(True).train()  # it was frozen
        with quiet():
            optim = build_optim_wrapper(own, usable(task.config.optim_wrapper, distills=False))
            optim.initialize_count_status(own, 0, 10 ** 6)
        found.teacher_step += _pace(task.dataloader, partial(own.train_step, optim_wrapper=optim),
                                    now)
        own.eval()
        batch_size = runner.cfg.val_dataloader.get('batch_size') or 1  # a loader may have none
        with torch.no_grad():
            found.teacher_image += _pace(runner.val_loop.dataloader, own.val_step,
                                         now) / batch_size


def _pace(loader: Any, work: Any, now: Any) -> float:
    """Seconds for a batch, read and worked on; the first of several is not counted."""
    times: List[float] = []
    last = now()
    for data in loader:
        work(data)
        times.append(now() - last)
        last = now()
        if len(times) > _BATCHES:
            break
    return _mean(times[1:] or times)


def _clock(task: Task) -> Any:
    def now() -> float:
        if task.device.type == 'cuda':
            torch.cuda.synchronize(task.device)
        return time.perf_counter()
    return now


def _mean(values: List[float]) -> float:
    return sum(values) / max(len(values), 1)

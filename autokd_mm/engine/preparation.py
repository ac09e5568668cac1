"""What costs once before the first trial: the teacher, its banks, the factors of the layers."""
from __future__ import annotations

import os
import time
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Union

from mmengine.optim import build_optim_wrapper
from optuna.study import Study

from autokd_mm.engine.settings import SearchSettings
from autokd_mm.models.algorithms import predicts_as
from autokd_mm.models.algorithms.teacher import refuse_not_loaded
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.optim import refusing, unmatched, usable
from autokd_mm.proxy.building import CandidateBuilder
from autokd_mm.proxy.data import Progress
from autokd_mm.proxy.precision import slow_precision
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.proxy.stepping import quiet
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.report import words
from autokd_mm.report.stretch import stretch
from autokd_mm.search.reward import AUTO, Reward
from autokd_mm.study import lock
from autokd_mm.study import study as studies
from autokd_mm.study.about import add_spent
from autokd_mm.task.task import Task
from autokd_mm.teacher import checkpoint as teachers
from autokd_mm.teacher.proxy_banks import open_banks


class Prepared(NamedTuple):
    """What a rank searches with.

    Attributes:
        trainer: of candidates, on this rank.
        study: of the search; ``None`` on ranks that follow.
        teacher_ckpt: file with the teacher's weights, of several teachers a list.
    """
    trainer: ProxyTrainer
    study: Optional[Study]
    teacher_ckpt: Union[str, List[str]]


def refuse_study(runner: Any, settings: SearchSettings,
                 description: Optional[Mapping[str, Any]] = None) -> None:
    """Refuse a work dir or a database with another search, or one to ``resume``.

    Args:
        runner: of the search, for its work dir.
        description: of this search; ``None``: not known yet.

    Raises:
        ConfigError: see :func:`~autokd_mm.study.study.check_study`.
    """
    studies.check_study(runner.work_dir, settings.resume, lock.workers() > 1, description,
                        settings.storage)


def check_optimiser(task: Task, warn: Callable[[str], None]) -> None:
    """Build the optimiser of a candidate once, so that a mistake in it shows now.

    Args:
        warn: told of names in ``paramwise_cfg.custom_keys`` that no parameter of the student has.

    Raises:
        ConfigError: it cannot be built.
    """
    config = task.config.optim_wrapper
    builder = CandidateBuilder(task.fresh_student, task.layers, task.proxy, task.device)
    # Not the task's, which has run: DDQ's decoder has its head's branches as its own since then.
    candidate = builder.build(None, builder.initial(task.proxy.seed))
    with quiet(), refusing(config, f'the student ({type(candidate.student).__name__})'):
        build_optim_wrapper(candidate, usable(config, distills=True))
    for key in unmatched(candidate, config):
        if not key.startswith('distiller'):
            warn(f'optim_wrapper.paramwise_cfg.custom_keys: {key!r} is in the name of no parameter '
                 'of the student (they begin with architecture.), so it does nothing')


def prepare(task: Task, runner: Any, settings: SearchSettings, reward: Reward, ranks: Ranks,
            progress: Progress) -> Prepared:
    """The teacher, the trainer and the study of a search.

    For all ranks, while rank 0 has the work dir's lock; they share what the teacher has to do.

    Args:
        task: its model gets the teacher's weights and its layers their factors.
        runner: of the search.
        reward: of the search.

    Raises:
        ConfigError: no teacher, another search's study, or of :func:`prepare_trainer`.
    """
    ranks.same(None)
    model, work_dir = task.model, runner.work_dir
    start = time.perf_counter()
    curve = task.curve(settings.full_training)  # a schedule that cannot be built shows here
    teacher_ckpt = prepare_teacher(model, runner, settings)
    refuse_not_loaded(model.teacher, task.layers.sources('teacher').values())
    made_from = teachers.made_from(model.teacher, runner.cfg)
    trained = time.perf_counter()
    description = dict(made_from, **task.description(curve),
                       reward=AUTO if settings.reward == AUTO else reward.weights)
    if ranks.size > 1:  # what compares samples of a batch has seen the shares
        description['ranks_per_trial'] = ranks.size
    if ranks.leads:
        refuse_study(runner, settings, description)
    trainer = prepare_trainer(task, work_dir, made_from, curve, runner.logger.warning, progress,
                              ranks)
    study = studies.open_study(work_dir, settings.sampler, description, settings.pruner,
                               settings.storage) if ranks.leads else None
    if study is not None:
        add_spent(study, dict(teacher=trained - start, bank=time.perf_counter() - trained))
    _show_teacher(model, runner, study, ranks, progress)
    model.teacher.cpu()  # it has spoken
    return Prepared(trainer, study, teacher_ckpt)


def prepare_teacher(model: Any, runner: Any, settings: SearchSettings) -> teachers.Paths:
    """Give the model of a search its teacher's weights; a teacher that has to be trained learns as
    long as ``settings.teacher_epochs`` says.

    Returns:
        The path of its checkpoint, of several teachers a list.

    Raises:
        ConfigError: of :func:`~autokd_mm.report.stretch.stretch` or
            :func:`~autokd_mm.teacher.checkpoint.ensure_teacher`.
    """
    lessons = stretch(runner.cfg, settings.full_training, settings.teacher_epochs,
                      'teacher_epochs')
    return teachers.ensure_teacher(model, *lessons, runner.work_dir, settings.train_teacher)


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
        ConfigError: of :func:`open_banks`, :meth:`Task.weigh` and :meth:`HeldOut.try_out`.
    """
    ranks = ranks or Ranks()
    slow = slow_precision(task.proxy, task.device)
    if slow:
        warn(slow)
    banks = open_banks(os.path.join(work_dir, 'bank'), task.proxy, task.datasets(), task.images,
                       task.model, teacher_made_from, task.layers, warn, progress)
    task.weigh(banks['train'])
    task.layers = ranks.same(task.layers)
    trainer = ProxyTrainer(task.fresh_student, task.layers, banks['train'], banks['held_out'],
                           task.proxy, task.config.optim_wrapper, curve, task.device, ranks,
                           task.loss_mode, task.own_metric, task.parts, task.model.teacher)
    trainer.held_out.try_out(task.student)
    return trainer


def show_plan(task: Task, runner: Any, settings: SearchSettings) -> Optional[float]:
    """Log what would be searched, and what the teacher is worth, if there is one already.

    Returns:
        Seconds in which it was evaluated, 0 where the search would not begin without another one;
        ``None``: it is trained first.
    """
    task.curve(settings.full_training)  # as in a search
    for line in words.plan(task.space, task.layers, task.computed_factors):
        runner.logger.info(line)
    if teachers.find_checkpoint(task.model.teacher, runner.cfg, runner.work_dir,
                                settings.train_teacher):
        begun = time.perf_counter()
        _tell(task.model, teachers.evaluate(task.model, runner.val_loop), runner)
        return time.perf_counter() - begun
    missing = teachers.cannot_have(task.model, runner.cfg, runner.work_dir, settings.train_teacher)
    if missing:  # what a dry run is asked is the rest
        runner.logger.warning(f'the search would not begin: {missing}')
        return 0.0
    runner.logger.info('teacher: not trained yet, the search trains it first')
    return None


def _show_teacher(model: Any, runner: Any, study: Optional[Study], ranks: Ranks,
                  progress: Progress) -> None:
    """Log what the teacher is worth: as the study has it, or measured now."""
    metrics = ranks.same(study and study.user_attrs.get('teacher_metrics'))
    if metrics is None:
        progress('evaluating the teacher', 0, 1)
        found = teachers.evaluate(model, runner.val_loop)
        metrics = {name: float(value) for name, value in found.items()}  # not NumPy's
        if study is not None:
            study.set_user_attr('teacher_metrics', metrics)
    _tell(model, metrics, runner)


def _tell(model: Any, metrics: Mapping[str, float], runner: Any) -> None:
    if any(predicts_as(teacher, model.student) for teacher, _ in each_teacher(model)):
        words.show_teacher(metrics, runner.logger)
    else:
        runner.logger.info("teacher: features alone, it makes no predictions of the student's task")

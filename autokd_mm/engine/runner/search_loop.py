"""The search as a train loop of MMEngine's Runner."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional

import optuna
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import BaseLoop

from autokd_mm.engine.about import about
from autokd_mm.engine.ending import Ending
from autokd_mm.engine.estimate import foretell
from autokd_mm.engine.expectation import Expectation, FullLength
from autokd_mm.engine.final_round import FinalRound
from autokd_mm.engine.followers import LeadingTrainer, follow
from autokd_mm.engine.left_out import ask, leave_out
from autokd_mm.engine.maps import KeptWeights
from autokd_mm.engine.one_trial import TrialRunner, baseline_of
from autokd_mm.engine.phases import Phases
from autokd_mm.engine.preparation import (Prepared, check_optimiser, prepare, refuse_study,
                                          show_plan)
from autokd_mm.engine.settings import SearchSettings
from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import NONE
from autokd_mm.models.algorithms import FrozenTeacherDistill
from autokd_mm.models.algorithms.pretrained import refuse_not_pretrained
from autokd_mm.page import Page
from autokd_mm.pairs.forms import read_forms
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.registry import LOOPS
from autokd_mm.report.progress import Display
from autokd_mm.report.results import Results
from autokd_mm.report.stretch import stretch
from autokd_mm.report.words import differing, metric_text
from autokd_mm.search.reward import AUTO, Outcome
from autokd_mm.space.checks import whole_number
from autokd_mm.space.spec import UNNAMED
from autokd_mm.space.teachers import TEACHER_LEVELS
from autokd_mm.study import lock
from autokd_mm.study import study as studies
from autokd_mm.study.about import get_about, set_about
from autokd_mm.study.work_dir import WorkDir
from autokd_mm.task.classes import check_same_classes
from autokd_mm.task.differences import differences
from autokd_mm.task.task import Task


@LOOPS.register_module()
class SearchLoop(BaseLoop):
    """Search a distiller before training: ask, build, train on the proxy, measure, tell.

    The runner's model is a :class:`FrozenTeacherDistill` without losses; its teacher is listened
    to once, its ``architecture`` is the config of the student that every candidate starts from.
    At the end ``best_distiller.py`` and ``leaderboard.csv`` are in the work dir. Several workers
    may search in one work dir: the study tells each what the others do, and two locks let one at
    a time prepare (``.lock``) or take a trial and write results (``.turn.lock``). Of the
    ranks of a worker all make a trainer, and rank 0 alone goes on to the study.

    Args:
        runner: MMEngine's runner.
        dataloader: of the training images.
        settings: every other key of ``train_cfg``, see :class:`SearchSettings`.

    Attributes:
        settings: the checked :class:`SearchSettings`.
        display: where progress is shown.
        reward, final_reward: of the search and of the final round, since :meth:`look`.
        weights: of those in the final round, for the maps of the winner.
        always: parameters of those that a budget leaves out last, since :meth:`look`.
        full_hooks: ``custom_hooks`` of the full training, which no search runs.
        full: config and ``train_cfg`` of the full training, since :meth:`look`.
        differences: between it and the proxy, in words, since :meth:`look`.

    Raises:
        ConfigError: every mistake in the config, before anything is written.
    """

    def __init__(self, runner: Any, dataloader: Any, **settings: Any) -> None:
        batch_size = runner.cfg.train_dataloader.get('batch_size')
        whole_number('train_dataloader.batch_size', batch_size, 1)
        self.settings = SearchSettings.from_config(settings, batch_size, get_world_size())
        if runner.cfg.get('val_dataloader') is None:
            raise ConfigError('val_dataloader is missing: a search measures on images behind the '
                              'pipeline of validation, and evaluates the teacher on them')
        super().__init__(runner, _whole(dataloader, runner.logger.warning))
        read_forms(runner.cfg)  # our tools have, before the model was built
        if self.settings.proxy.threads:
            torch.set_num_threads(self.settings.proxy.threads)
        self.model = getattr(runner.model, 'module', runner.model)  # launchers wrap it
        if not isinstance(self.model, FrozenTeacherDistill):
            raise ConfigError(f'model.type: a {type(self.model).__name__} cannot be searched; it '
                              'must be mmrazor.FrozenTeacherDistill')
        self.work_dir = WorkDir(runner.work_dir)
        self.display = Display(enabled=lock.worker() == 0 and is_main_process())
        self.full_hooks = leave_out(runner)
        self.always: List[Dict[str, Any]] = []
        self.weights = KeptWeights(runner.work_dir,
                                   lambda: self.runner.val_loop.dataloader.dataset,
                                   runner.logger.warning)

    # MMEngine asks a train loop for these.
    epoch = iter = max_epochs = 0

    @property
    def max_iters(self) -> int:
        return self.settings.trials

    def run(self) -> torch.nn.Module:
        """Search until ``trials`` trials are finished; returns the runner's model."""
        self.runner.call_hook('before_train')
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        ranks = Ranks()
        if ranks.leads and not self.settings.dry_run:
            refuse_study(self.runner, self.settings)
        task = self.look()
        if self.settings.dry_run:
            evaluation = show_plan(task, self.runner, self.settings)
            for line in foretell(task, self.runner, self.settings, evaluation, self._length()):
                self.say(line)
            return self.runner.model
        if ranks.leads:
            self._lead(task, ranks)
        else:
            follow(self._prepare(task, ranks).trainer, ranks)
        self.runner.call_hook('after_train')
        return self.runner.model

    def _lead(self, task: Task, ranks: Ranks) -> None:
        """Rank 0's search; all other ranks train what it says."""
        with self.display.running():
            with self.work_dir.alone(lambda: self.say('waiting for another worker to prepare')):
                self.work_dir.sweep()
                prepared = self._prepare(task, ranks)
                trainer = LeadingTrainer(prepared.trainer, ranks)
                phases = self._phases(task, prepared, trainer)
            ending = Ending(phases, self._expectation(prepared, phases), trainer.clock,
                            self.runner.logger, self.runner.visualizer.add_scalars, self.weights)
            with self.settings.heartbeat:
                phases.search()
                phases.final_round()
            trainer.end()
        ending.finish()

    def look(self) -> Task:
        """What the search is about: both networks are run once, nothing is written.

        Raises:
            ConfigError: every mistake that can be found so.
        """
        settings = self.settings
        task = Task(self.runner.cfg, self.dataloader, self.model, settings.layers, settings.proxy,
                    self._options(), settings.warm_start, self.say, settings.metric)
        self.reward, self.final_reward = settings.rewards(task.has_metric, task.loss_mode != NONE)
        if settings.final_round and settings.final_round.budget is not None:
            self.always = list(filter(None, [task.add_first('KD')]))
        if not task.start.files and self._begun() is None:
            refuse_not_pretrained(self.model, task.student)
        check_same_classes(self.dataloader.dataset, self.runner.val_loop.dataloader.dataset,
                           'val_dataloader.dataset')
        ask(self.full_hooks, self.runner)
        check_optimiser(task, self.runner.logger.warning)
        self.full = stretch(self.runner.cfg, settings.full_training, settings.full_epochs)
        self.differences = differences(self.runner.cfg, settings.proxy, self.full[1], task.student)
        for line in differing(self.differences):
            self.say(line)
        return task

    def _options(self) -> Dict[str, Any]:
        """Option lists of the space; a study from before students could start from the teacher, or
        hear one of several alone, goes on without that."""
        options = dict(self.settings.space or {})
        begun = self._begun()
        for level in ('start', *TEACHER_LEVELS):
            if begun is not None and level not in begun:
                options.setdefault(level, (UNNAMED[level], ))
        return options

    def _begun(self) -> Optional[Dict[str, Any]]:
        """The space of the study that this search goes on with, ``None``: it begins."""
        return studies.space_of(self.work_dir.path, self.settings.storage)

    def say(self, line: str) -> None:
        """Log a line."""
        self.runner.logger.info(line)

    def _prepare(self, task: Task, ranks: Ranks) -> Prepared:
        return prepare(task, self.runner, self.settings, self.reward, ranks, self.display.show)

    def _settle(self, task: Task, baseline: Outcome, study: optuna.Study) -> None:
        """Rewards that depend on what the undistilled student can do."""
        self.reward, self.final_reward = self.settings.rewards(
            task.has_metric, task.loss_mode != NONE, baseline, get_about(study).get('reward'))
        if self.settings.reward == AUTO:
            terms = ' and '.join(self.reward.weights)
            self.say(f'reward: {terms}, by the metric of the undistilled student'
                     f'{metric_text(baseline.metric)}')

    def _length(self) -> Optional[FullLength]:
        # Not the loader's: one with a batch_sampler of its own has none.
        return FullLength.of(self.full[1], len(self.dataloader.dataset),
                             self.runner.cfg.train_dataloader['batch_size'])

    def _expectation(self, prepared: Prepared, phases: Phases) -> Expectation:
        return Expectation(self._length(), prepared.trainer.samples, phases.runner.baseline,
                           len(prepared.trainer.held_out.images))

    def _phases(self, task: Task, prepared: Prepared, trainer: LeadingTrainer) -> Phases:
        """What takes trials, with the trials queued that come first."""
        settings, study, turn = self.settings, prepared.study, self.work_dir.turn
        assert study is not None  # rank 0 has it
        with turn():
            studies.enqueue_once(study, task.first)
            queued = studies.take_up_interrupted(study)
        if queued:
            self.say(f'interrupted trials run again: {", ".join(map(str, queued))}')
        self.display.show('undistilled student', 0, 1)
        baseline = baseline_of(study, trainer, self.say)
        self._settle(task, baseline, study)
        runner = TrialRunner(study, task.space, trainer, self.reward, baseline,
                             settings.rejection, settings.proxy.epochs, self.say,
                             self.runner.visualizer.add_scalars, turn)
        final = settings.final_round and FinalRound(settings.final_round, study, trainer,
                                                    self.final_reward, task.first,
                                                    self.weights.keep, self.always)
        sampler = type(settings.sampler).__name__
        results = Results(self.work_dir.path, *self.full, task.layers,
                          prepared.teacher_ckpt, sampler, baseline.to_dict(), self.differences,
                          task.parts)
        studies.set_plan(study, settings.trials, settings.free_rejections,
                         final.expected_length() if final else 0)
        set_about(study, about(self.runner.cfg, task, final or None, self._length(),
                               prepared.trainer.samples, len(prepared.trainer.held_out.images),
                              self.differences, sampler,
                               self.reward.weights))
        page = Page(self.work_dir.path, study, final.study if final else None,
                    self.runner.logger.warning)
        return Phases(study, runner, final, results, self.display, turn, self.say, settings.trials,
                      settings.free_rejections, settings.heartbeat, settings.max_hours, page)


def _whole(dataloader: Any, warn: Callable[[str], None]) -> Any:
    """Without the shortcut of MMEngine for tests of a training: the wrapper that it puts around the
    dataset cannot be copied."""
    key = 'num_batch_per_epoch'
    if not isinstance(dataloader, Mapping) or dataloader.get(key) is None:
        return dataloader
    warn(f'train_dataloader.{key}={dataloader[key]}: a search chooses among all images, and counts '
         'the length of the full training by all')
    return {name: value for name, value in dataloader.items() if name != key}

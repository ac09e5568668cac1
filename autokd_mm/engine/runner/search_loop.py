"""The search as a train loop of MMEngine's Runner."""
from __future__ import annotations

import glob
import os
import time
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import optuna
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import BaseLoop

from autokd_mm.engine.final_round import FinalRound, FinalSettings
from autokd_mm.engine.followers import LeadingTrainer, follow
from autokd_mm.engine.one_trial import TrialRunner, baseline_of
from autokd_mm.engine.phases import Phases
from autokd_mm.engine.preparation import prepare_trainer
from autokd_mm.engine.pruning import build_pruner
from autokd_mm.errors import ConfigError
from autokd_mm.proxy.ranks import Ranks, check_ranks
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.registry import LOOPS
from autokd_mm.report import words
from autokd_mm.report.progress import Display, best_table, table_text
from autokd_mm.report.results import Results
from autokd_mm.search import build_sampler
from autokd_mm.search.reward import DEFAULT, DEFAULT_WITHOUT_METRIC, Reward
from autokd_mm.space.checks import refuse_unknown
from autokd_mm.study import lock
from autokd_mm.study import study as studies
from autokd_mm.study.heartbeat import Heartbeat
from autokd_mm.study.patience import StorageAway
from autokd_mm.study.storage import check_storage
from autokd_mm.study.time_limit import TimeLimit
from autokd_mm.task.task import Task
from autokd_mm.teacher import checkpoint as teachers


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
        full_training: the ``train_cfg`` with which the found distiller will be trained.
        layers: ``student``, ``teacher`` (modules whose outputs are compared), ``student_logits``
            and ``teacher_logits`` (may be left out), ``factors``, ``shared`` (see
            :func:`find_layers`).
        trials: finished trials at which the search ends.
        space: option lists that replace the default ones, by level.
        sampler: ``MCTSSampler`` or any of Optuna's, with its arguments.
        reward: weight of each term (see :class:`Reward`).
        proxy: see :class:`ProxySettings`.
        rejection: see :class:`Rejection`; ``None`` or ``False``: off.
        pruner: any of Optuna's with its arguments (see :func:`build_pruner`), by default
            successive halving; ``None`` or ``False``: none.
        final_round: see :class:`FinalSettings`; ``None`` or ``False``: the best trial wins.
        warm_start: distillers that are tried first: names of hand-crafted methods, or dicts of
            options. The best of them takes part in the final round, so the found distiller is
            never worse than it there (without a final round: on the proxy).
        storage: URL of a PostgreSQL database for the study, ``None``: a journal in the work dir.
        heartbeat: seconds between two signs of life of a running trial; without one six times as
            long, its worker is dead and the trial is run again.
        ranks_per_trial: processes of a launcher that share the batches of a trial.
        max_hours: begin nothing that would end later, counted from the start of the process.
        train_teacher: train the teacher first when no ``teacher_ckpt`` is given.
        resume: go on with the study in the work dir.
        dry_run: print what would be searched and stop.
        seed: of the sampler.

    Raises:
        ConfigError: every mistake in the config, before anything is written.
    """

    def __init__(self,
                 runner: Any,
                 dataloader: Any,
                 full_training: Dict[str, Any],
                 layers: Mapping[str, Any],
                 trials: int = 60,
                 space: Optional[Mapping[str, Any]] = None,
                 sampler: Optional[Mapping[str, Any]] = None,
                 reward: Optional[Mapping[str, float]] = None,
                 proxy: Optional[Mapping[str, Any]] = None,
                 rejection: Union[Mapping[str, Any], bool, None] = True,
                 pruner: Union[Mapping[str, Any], bool, None] = True,
                 final_round: Union[Mapping[str, Any], bool, None] = True,
                 warm_start: Sequence[Union[str, Mapping[str, Any]]] = (),
                 storage: Optional[str] = None,
                 heartbeat: float = 20.0,
                 ranks_per_trial: int = 1,
                 max_hours: Optional[float] = None,
                 train_teacher: bool = False,
                 resume: bool = False,
                 dry_run: bool = False,
                 seed: int = 0,
                 **unknown: Any) -> None:
        refuse_unknown(unknown, type(self).__init__)
        super().__init__(runner, dataloader)
        if not isinstance(trials, int) or trials < 1:
            raise ConfigError(f'train_cfg.trials={trials!r}: must be at least 1')
        self.full_training, self.layer_names = dict(full_training), dict(layers)
        self.trials, self.warm_start = trials, warm_start
        self.train_teacher, self.resume, self.dry_run = train_teacher, resume, dry_run
        self.space_options = dict(space or {})
        self.sampler_config = dict(sampler or dict(type='MCTSSampler'))
        try:
            self.sampler = build_sampler(self.sampler_config, seed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.reward = Reward(reward or DEFAULT)  # the task's own default: see _look
        self.own_reward = bool(reward)
        self.proxy = ProxySettings.from_config(
            proxy or {}, int(runner.cfg.train_dataloader.batch_size))
        check_ranks(ranks_per_trial, get_world_size(), self.proxy.batch_size)
        self.rejection = Rejection.from_config(rejection)
        self.pruner = build_pruner(pruner, self.proxy.epochs)
        self.final_settings = FinalSettings.from_config(final_round)
        self.storage, self.limit = check_storage(storage), TimeLimit(max_hours)
        self.heartbeat = Heartbeat(heartbeat)
        if self.proxy.threads:
            torch.set_num_threads(self.proxy.threads)
        self.model = getattr(runner.model, 'module', runner.model)  # launchers wrap it
        self.display = Display(enabled=lock.worker() == 0 and is_main_process())
        # The runner steps no optimiser here, and its schedulers could not be built for a loop
        # that has no epochs. Candidates have their own (see ProxyTrainer).
        runner.param_schedulers = None

    # MMEngine asks a train loop for these.
    epoch = iter = max_epochs = 0

    @property
    def max_iters(self) -> int:
        return self.trials

    def run(self) -> torch.nn.Module:
        """Search until ``trials`` trials are finished; returns the runner's model."""
        self.runner.call_hook('before_train')
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        work_dir, self.ranks = self.runner.work_dir, Ranks()
        if self.ranks.leads and not self.dry_run:
            studies.check_study(work_dir, self.resume, lock.workers() > 1, storage=self.storage)
        self.task = self._look()
        if self.dry_run:
            self._show_plan()
            return self.runner.model
        try:
            if self.ranks.leads:
                with self.display.running():
                    self._lead(work_dir)
                self._finish()
            else:
                self._prepare(work_dir)
                follow(self.trainer, self.ranks)
        except StorageAway as away:
            raise ConfigError(str(away)) from None
        self.runner.call_hook('after_train')
        return self.runner.model

    def _lead(self, work_dir: str) -> None:
        with lock.exclusive(os.path.join(work_dir, '.lock'),
                            lambda: self._say('waiting for another worker to prepare')):
            with self._turn():
                for left in glob.glob(os.path.join(glob.escape(work_dir), '*.unfinished-*')):
                    os.remove(left)
            self._prepare(work_dir)
            self._begin(work_dir)
        self.started, self.first_clock = time.perf_counter(), self.leading.clock.model
        with self.heartbeat:
            self.phases.search()
            self.phases.final_round()
        self.leading.end()

    # -- before the first trial: everything that can be refused, then everything that costs -----
    def _look(self) -> Task:
        task = Task(self.runner.cfg, self.dataloader, self.model, self.layer_names,
                    self.proxy, self.space_options, self.warm_start, self._say)
        if not (self.own_reward or task.has_metric):
            self.reward = Reward(DEFAULT_WITHOUT_METRIC)
        self.final_reward = self.reward
        if self.final_settings and self.final_settings.reward:
            self.final_reward = Reward(self.final_settings.reward, 'final_round.reward')
        for reward in (self.reward, self.final_reward):
            reward.refuse_without_metric(task.has_metric)
        return task

    def _show_plan(self) -> None:
        task = self.task
        for line in words.plan(task.space, task.layers, task.computed_factors):
            self._say(line)
        if teachers.find_checkpoint(self.model.teacher, self.runner.cfg, self.runner.work_dir,
                                    self.train_teacher):
            metrics = teachers.evaluate(self.model, self.runner.val_loop)
            words.show_teacher(metrics, self.runner.logger)
        else:
            self._say('teacher: not trained yet, the search trains it first')

    def _prepare(self, work_dir: str) -> None:
        """All ranks, while rank 0 has the lock; they share what the teacher has to do."""
        self.ranks.same(None)
        model, task = self.model, self.task
        self.teacher_ckpt = teachers.ensure_teacher(model, self.runner.cfg, self.full_training,
                                                    work_dir, self.train_teacher)
        made_from = teachers.made_from(model.teacher, self.runner.cfg)
        curve = task.curve(self.full_training)
        description = dict(made_from, **task.description(curve), reward=self.reward.weights)
        if self.ranks.size > 1:  # what compares samples of a batch has seen the shares
            description['ranks_per_trial'] = self.ranks.size
        if self.ranks.leads:
            studies.check_study(work_dir, self.resume, lock.workers() > 1, description,
                                self.storage)
        self.trainer = prepare_trainer(task, work_dir, made_from, curve,
                                       self.runner.logger.warning, self.display.show, self.ranks)
        self.study = studies.open_study(work_dir, self.sampler, description, self.pruner,
                                        self.storage) if self.ranks.leads else None
        self._show_teacher(model)
        model.teacher.cpu()  # it has spoken
        self.leading = LeadingTrainer(self.trainer, self.ranks)

    def _begin(self, work_dir: str) -> None:
        """Make what takes trials."""
        task = self.task
        with self._turn():
            studies.enqueue_once(self.study, task.first)
            queued = studies.take_up_interrupted(self.study)
        if queued:
            self._say(f'interrupted trials run again: {", ".join(map(str, queued))}')
        self.display.show('undistilled student', 0, 1)
        baseline = baseline_of(self.study, self.leading, self._say)
        runner = TrialRunner(self.study, task.space, self.leading, self.reward, baseline,
                             self.rejection, self.proxy.epochs, self._say,
                             self.runner.visualizer.add_scalars, self._turn)
        self.final = self.final_settings and FinalRound(
            self.final_settings, self.study, self.leading, self.final_reward, task.first)
        self.results = Results(work_dir, self.runner.cfg, self.full_training, task.layers,
                               self.teacher_ckpt, self.sampler_config['type'], baseline.to_dict())
        free = self.rejection and self.rejection.free
        self.phases = Phases(self.study, runner, self.final, self.results, self.display,
                             self._turn, self._say, self.trials,
                             self.trials if free is None else free, self.heartbeat, self.limit)

    def _show_teacher(self, model: Any) -> None:
        metrics = self.ranks.same(self.study and self.study.user_attrs.get('teacher_metrics'))
        if metrics is None:
            self.display.show('evaluating the teacher', 0, 1)
            found = teachers.evaluate(model, self.runner.val_loop)
            metrics = {name: float(value) for name, value in found.items()}  # not NumPy's
            if self.study is not None:
                self.study.set_user_attr('teacher_metrics', metrics)
        words.show_teacher(metrics, self.runner.logger)

    def _turn(self) -> Any:
        """One worker at a time takes a trial, or writes what has been found."""
        return lock.exclusive(os.path.join(self.runner.work_dir, '.turn.lock'))

    # -- behind the last trial ----------------------------------------------------------------
    def _finish(self) -> None:
        wall = time.perf_counter() - self.started
        with self._turn():
            done, others = studies.finished_and_running(self.study)
            rewards = self.phases.finals()
            self.results.write_leaderboard(done, rewards)
            about = self.final.report(done) if self.final else []
            top = self.results.write_best(done, rewards, about)
        share = 1 - (self.leading.clock.model - self.first_clock) / max(wall, 1e-9)
        self._say(f'{words.counts(done)}, {wall:.1f} s here, {share:.1%} of it outside forward, '
                  'backward and optimiser step')
        self.runner.visualizer.add_scalars(
            {'search/outside_model': share, 'search/seconds': wall}, step=len(done))
        if others:
            self._say(f'{len(others)} trials are still with other workers')
        if self.limit.stopped:
            self._say(f'{self.limit.why()}; go on with --resume')
        elif top is None and not others:
            raise ConfigError('no distiller was trained to the end of the proxy; the reasons are '
                              f'in {self.results.leaderboard}')
        if top is None:
            return
        self.runner.logger.info('\n' + table_text(best_table(done, rewards)))
        for line in about:
            self._say(line.strip())
        if rewards.get(top.number, top.value) <= 0:
            self.runner.logger.warning('no distiller was better than none on the proxy')
        self._say(f'the best distiller is in {self.results.best}; train with it:\n'
                  f'    python tools/train.py {self.results.best}')

    def _say(self, line: str) -> None:
        self.runner.logger.info(line)

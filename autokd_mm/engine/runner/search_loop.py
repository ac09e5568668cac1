"""The search as a train loop of MMEngine's Runner."""
from __future__ import annotations

import copy
import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import optuna
import torch
from mmengine.registry import DATASETS as ALL_DATASETS
from mmengine.registry import MODELS as ALL_MODELS
from mmengine.runner import BaseLoop
from optuna.trial import TrialState

from autokd_mm.engine import export, lock
from autokd_mm.engine import study as studies
from autokd_mm.engine.progress import Display, best_table, table_text
from autokd_mm.engine.proxy import ProxySettings, find_layers, open_banks
from autokd_mm.engine.proxy_data import held_out_dataset_config, read_one
from autokd_mm.engine.proxy_trainer import CandidateFailed, ProxyTrainer
from autokd_mm.engine.schedule import lr_curve
from autokd_mm.engine.seeding import seeded
from autokd_mm.engine.teacher import ensure_teacher, evaluate, teacher_id
from autokd_mm.models.distillers import distiller_config
from autokd_mm.registry import LOOPS
from autokd_mm.search import build_sampler
from autokd_mm.search.reward import Outcome, Reward
from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.errors import ConfigError
from autokd_mm.space.handcrafted import handcrafted


@LOOPS.register_module()
class SearchLoop(BaseLoop):
    """Search a distiller before training: ask, build, train on the proxy, measure, tell.

    The runner's model is a :class:`FrozenTeacherDistill` without losses; its teacher is listened
    to once, its ``architecture`` is the config of the student that every candidate starts from.
    At the end ``best_distiller.py`` and ``leaderboard.csv`` are in the work dir.

    Args:
        runner: MMEngine's runner.
        dataloader: of the training images.
        full_training: the ``train_cfg`` with which the found distiller will be trained.
        layers: ``student``, ``teacher`` (modules whose outputs are compared), ``student_logits``
            and ``teacher_logits`` (may be left out).
        trials: finished trials at which the search ends.
        space: option lists that replace the default ones, by level.
        sampler: ``MCTSSampler`` or any of Optuna's, with its arguments.
        reward: weight of each term (see :class:`Reward`).
        proxy: see :class:`ProxySettings`.
        warm_start: distillers that are tried first: names of hand-crafted methods, or dicts of
            options. The found distiller is then never worse than the best of them on the proxy.
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
                 layers: Mapping[str, str],
                 trials: int = 60,
                 space: Optional[Mapping[str, Any]] = None,
                 sampler: Optional[Mapping[str, Any]] = None,
                 reward: Optional[Mapping[str, float]] = None,
                 proxy: Optional[Mapping[str, Any]] = None,
                 warm_start: Sequence[Union[str, Mapping[str, Any]]] = (),
                 train_teacher: bool = False,
                 resume: bool = False,
                 dry_run: bool = False,
                 seed: int = 0) -> None:
        super().__init__(runner, dataloader)
        if not isinstance(trials, int) or trials < 1:
            raise ConfigError(f'train_cfg.trials={trials!r}: must be at least 1')
        self.full_training, self.layer_names = dict(full_training), layers
        self.trials, self.warm_start = trials, warm_start
        self.train_teacher, self.resume, self.dry_run = train_teacher, resume, dry_run
        self.space_options = dict(space or {})
        self.sampler_config = dict(sampler or dict(type='MCTSSampler'))
        try:
            self.sampler = build_sampler(self.sampler_config, seed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.reward = Reward(reward)
        self.proxy = ProxySettings.from_config(proxy or {}, _batch_size(runner))
        DistillerSpace(self.space_options)  # its mistakes now, before any work
        if self.proxy.threads:
            torch.set_num_threads(self.proxy.threads)
        self.device = next(runner.model.parameters()).device
        self.display = Display()
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
        work_dir = self.runner.work_dir
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.dry_run:
            self._dry_run()
            return self.runner.model
        with self.display.running():
            with lock.exclusive(os.path.join(work_dir, '.lock'),
                                lambda: self._say('waiting for another worker to prepare')):
                self._prepare(work_dir)
            self._search()
        self._finish(work_dir)
        self.runner.call_hook('after_train')
        return self.runner.model

    # -- before the first trial ---------------------------------------------------------------
    def _prepare(self, work_dir: str) -> None:
        _refuse_mixing(self.runner.cfg)
        self.teacher_ckpt = ensure_teacher(self.runner.model, self.runner.cfg,
                                           self.full_training, work_dir, self.train_teacher)
        teacher = self.runner.model.teacher
        student = self._fresh_student()
        self._look_at_tensors(student, teacher)
        identity = teacher_id(teacher)
        self.study = studies.open_study(work_dir, self.sampler, self._description(identity),
                                        self.resume, join=lock.workers() > 1)
        self._show_teacher(teacher)
        banks = open_banks(os.path.join(work_dir, 'bank'), self.proxy, self._datasets(), teacher,
                           identity, self.layers, self.classes, self.runner.logger.warning,
                           self.display.show)
        teacher.cpu()  # it has spoken
        self.trainer = ProxyTrainer(
            student, self.layers, banks['train'], banks['held_out'], self.proxy.views,
            self.runner.cfg.optim_wrapper, self._curve(), self.proxy.epochs,
            self.proxy.batch_size, self.proxy.seed, self.device)
        self._enqueue_warm_start()
        queued = studies.take_up_interrupted(self.study)
        if queued:
            self._say(f'interrupted trials run again: {", ".join(map(str, queued))}')
        self.baseline = self._baseline()

    def _look_at_tensors(self, student: Any, teacher: Any) -> None:
        image, _ = read_one(self.dataloader.dataset, 0, 0, self.proxy.seed)
        pixels = torch.from_numpy(image)[None].repeat(2, 1, 1, 1)
        self.layers, self.classes = find_layers(student, teacher, self.layer_names, pixels)
        channels, height, width = self.layers.teacher_shape
        self.space = DistillerSpace(self.space_options, Shapes(
            self.proxy.batch_size, channels, height, width, self.classes,
            self.layers.same_shape, self.classes > 0), log=self._say)
        self._say(f'{self.space.count():,} distillers')  # the walk also says what is left out

    def _fresh_student(self) -> Any:
        config = copy.deepcopy(self.runner.cfg.model.architecture)
        with seeded(self.proxy.seed, 0):
            student = ALL_MODELS.build(config)
            student.init_weights()
        return student.to(self.device)

    def _datasets(self) -> Dict[str, Any]:
        loaders = self.runner.cfg.train_dataloader, self.runner.cfg.val_dataloader
        held_out = held_out_dataset_config(loaders[0].dataset, loaders[1].dataset)
        return dict(train=self.dataloader.dataset, held_out=ALL_DATASETS.build(held_out))

    def _curve(self) -> List[float]:
        epochs = self.full_training.get('max_epochs')
        batches = max(1, len(self.dataloader))
        if not epochs:
            epochs, batches = 1, int(self.full_training.get('max_iters', batches))
        return lr_curve(self.runner.cfg.get('param_scheduler'), epochs, batches)

    def _description(self, identity: str) -> Dict[str, Any]:
        """What makes this search this search; another one may not use its study."""
        student = copy.deepcopy(self.runner.cfg.model.architecture)
        return dict(space={level: list(options) for level, options in self.space.levels()},
                    shapes=vars(self.space.shapes), teacher=identity,
                    layers=dict(self.layer_names), reward=self.reward.weights,
                    proxy=self.proxy.to_dict(), student=repr(student.to_dict()),
                    optim_wrapper=repr(self.runner.cfg.optim_wrapper.to_dict()))

    def _enqueue_warm_start(self) -> None:
        if self.study.get_trials(deepcopy=False):
            return
        for item in self.warm_start:
            spec = (handcrafted(item, self.layers.same_shape) if isinstance(item, str)
                    else DistillerSpec.from_dict(dict(item)))
            self.study.enqueue_trial(self.space.params(spec))

    def _baseline(self) -> Outcome:
        found = studies.get_baseline(self.study)
        if found is None:
            self.display.show('undistilled student', 0, 1)
            try:
                found = self.trainer.run(None).to_dict()
            except CandidateFailed as failed:
                raise ConfigError(f'model.architecture: the undistilled student cannot be trained '
                                  f'on the proxy: {failed}') from None
            studies.set_baseline(self.study, found)
        self._say('undistilled student on the proxy: loss {held_out_loss:.4f}, calibrated '
                  '{calibrated_loss:.4f}, gap {gap:.4f}, metric {metric:.2%}'.format(**found))
        return Outcome(**found)

    # -- the trials ---------------------------------------------------------------------------
    def _search(self) -> None:
        self.started, self.first_clock = time.perf_counter(), self.trainer.clock.model
        while True:
            done = studies.finished(self.study)
            running = [trial for trial in self.study.get_trials(deepcopy=False,
                                                                states=(TrialState.RUNNING, ))]
            top = export.best(done)
            note = f'best {top.value:+.4f}' if top else ''
            self.display.show('searching', len(done), self.trials, note)
            if len(done) + len(running) >= self.trials:
                return
            self._one_trial()
            export.write_leaderboard(os.path.join(self.runner.work_dir, export.LEADERBOARD),
                                     studies.finished(self.study))

    def _one_trial(self) -> None:
        trial = self.study.ask()
        try:
            trial.set_user_attr(studies.WORKER, studies.worker_name())
            spec = self.space.suggest(trial)
            trial.set_user_attr(export.SPEC, spec.to_dict())
            try:
                outcome = self.trainer.run(spec)
                reward = self.reward(outcome, self.baseline)
            except (CandidateFailed, ValueError) as failed:
                trial.set_user_attr(studies.REASON, str(failed))
                self.study.tell(trial, state=TrialState.FAIL)
                self._say(f'trial {trial.number} failed: {failed} | {spec.in_words()}')
                return
            trial.set_user_attr(export.OUTCOME, outcome.to_dict())
            self.study.tell(trial, reward)
        except BaseException:
            # Ctrl-C, or a fault of the program: the trial says nothing about its distiller.
            studies.interrupt(self.study, self.study._storage.get_trial(trial._trial_id))
            raise
        self._log(trial.number, reward, outcome, spec)

    def _log(self, number: int, reward: float, outcome: Outcome, spec: DistillerSpec) -> None:
        self._say(f'trial {number}: reward {reward:+.4f}, loss {outcome.calibrated_loss:.4f}, '
                  f'gap {outcome.gap:.4f}, metric {outcome.metric:.2%}, {outcome.seconds:.1f} s | '
                  f'{spec.in_words()}')
        self.runner.visualizer.add_scalars(dict(reward=reward, **outcome.to_dict()), step=number)

    # -- behind the last trial ----------------------------------------------------------------
    def _finish(self, work_dir: str) -> None:
        done = studies.finished(self.study)
        wall = time.perf_counter() - self.started
        top = export.best(done)
        export.write_leaderboard(os.path.join(work_dir, export.LEADERBOARD), done)
        if wall > 0 and len(done):
            share = 1 - (self.trainer.clock.model - self.first_clock) / wall
            self._say(f'{len(done)} trials, {wall:.1f} s here, {share:.1%} of it outside forward, '
                      'backward and optimiser step')
            self.runner.message_hub.update_scalar('search/outside_model', share)
        if top is None:
            raise ConfigError('no distiller could be trained on the proxy; the reasons are in '
                              f'{os.path.join(work_dir, export.LEADERBOARD)}')
        spec = export.spec_of(top)
        assert spec is not None
        path = os.path.join(work_dir, export.BEST)
        config = export.best_config(self.runner.cfg, distiller_config(spec, self.layers),
                                    self.full_training, self.teacher_ckpt)
        export.write_best(path, config, self._header(top, spec, len(done)))
        self.runner.logger.info('\n' + table_text(best_table(done)))
        if top.value is not None and top.value <= 0:
            self.runner.logger.warning('no distiller was better than none on the proxy')
        self._say(f'the best distiller is in {path}; train with it:\n'
                  f'    python tools/train.py {path}')

    def _header(self, top: Any, spec: DistillerSpec, trials: int) -> List[str]:
        outcome = top.user_attrs[export.OUTCOME]
        return [
            'Distiller found by autokd_mm (Monte Carlo tree search over the space of Auto-KD).',
            f'  {spec.in_words()}',
            f'  reward {top.value:+.4f} over the undistilled student (trial {top.number} of '
            f'{trials}, sampler {self.sampler_config["type"]})',
            '  proxy: held-out loss {held_out_loss:.4f}, calibrated {calibrated_loss:.4f}, gap '
            '{gap:.4f}, metric {metric:.2%}'.format(**outcome),
            '  undistilled: held-out loss {held_out_loss:.4f}, calibrated {calibrated_loss:.4f}, '
            'gap {gap:.4f}, metric {metric:.2%}'.format(**self.baseline.to_dict()),
            '', ]

    # -- small things -------------------------------------------------------------------------
    def _say(self, line: str) -> None:
        self.runner.logger.info(line)

    def _show_teacher(self, teacher: Any) -> None:
        if self.study.user_attrs.get('teacher_metrics') is None:
            self.display.show('evaluating the teacher', 0, 1)
            self.study.set_user_attr('teacher_metrics', evaluate(teacher, self.runner.val_loop))
        self._say('teacher: ' + _metrics(self.study.user_attrs['teacher_metrics']))

    def _dry_run(self) -> None:
        teacher = self.runner.model.teacher
        student = self._fresh_student()
        self._look_at_tensors(student, teacher)
        for level, options in self.space.levels():
            self._say(f'{level:>18}: {", ".join(map(str, options))}')
        for who in ('student', 'teacher'):
            shape = ' x '.join(map(str, getattr(self.layers, f'{who}_shape')))
            logits = getattr(self.layers, f'{who}_logits')
            self._say(f'{who}: {getattr(self.layers, who)} ({shape}), logits {logits} '
                      f'({self.classes})')
        if self.runner.cfg.model.get('teacher_ckpt'):
            self._say('teacher: ' + _metrics(evaluate(teacher, self.runner.val_loop)))
        else:
            self._say('teacher: not trained yet, the search trains it first')


def _metrics(metrics: Mapping[str, float]) -> str:
    return ', '.join(f'{name} {value:.2f}' for name, value in metrics.items())


def _batch_size(runner: Any) -> int:
    return int(runner.cfg.train_dataloader.batch_size)


def _refuse_mixing(config: Any) -> None:
    """Mixed images differ from step to step; no bank can hold the teacher on them."""
    preprocessors = [config.get('data_preprocessor'),
                     config.model.architecture.get('data_preprocessor')]
    train = config.model.architecture.get('train_cfg')
    if any(p and p.get('batch_augments') for p in preprocessors) or (
            train and train.get('augments')):
        raise ConfigError('model.architecture.train_cfg.augments: batch-level mixing (mixup, '
                          'cutmix) and a cached teacher exclude each other; remove it from the '
                          'search config')

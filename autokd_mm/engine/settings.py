"""Every key of a search's ``train_cfg``, checked in one place."""
from __future__ import annotations

import warnings
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from optuna.samplers import BaseSampler

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.engine.full_training import check_training
from autokd_mm.engine.pruning import build_pruner
from autokd_mm.errors import AutoKDWarning, ConfigError, DataError
from autokd_mm.experience import load_prior
from autokd_mm.proxy.ranks import check_ranks
from autokd_mm.proxy.rejection import Rejection
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.search import Prior, build_sampler
from autokd_mm.search.reward import (AUTO, DEFAULT, DEFAULT_WITHOUT_METRIC, Outcome, Reward,
                                     terms_for)
from autokd_mm.space import level_of
from autokd_mm.space.checks import refuse_unknown, whole_number
from autokd_mm.study.heartbeat import Heartbeat
from autokd_mm.study.storage import check_storage
from autokd_mm.study.time_limit import TimeLimit


@dataclass(frozen=True)
class SearchSettings:
    """The keys of ``train_cfg`` with ``type='mmrazor.SearchLoop'``.

    As a config writes them; :meth:`from_config` checks them and puts the objects that they stand
    for in their places.

    Attributes:
        full_training: the ``train_cfg`` with which the found distiller will be trained.
        full_epochs: another number of epochs for it, along the same curve of the learning rate;
            the search itself stays what it is.
        layers: ``student``, ``teacher`` (modules whose outputs are compared), ``student_logits``
            and ``teacher_logits`` (may be left out), ``factors``, ``shared`` (see
            :func:`find_layers`).
        trials: finished trials at which the search ends.
        space: option lists that replace the default ones, by level.
        sampler: ``MCTSSampler`` or any of Optuna's, with its arguments; for ours also
            ``experience``, see :func:`~autokd_mm.experience.load_prior`. Checked: the sampler.
        reward: weight of each term; ``'auto'``: by what the undistilled student can do, see
            :func:`terms_for`. Checked: a :class:`Reward`, ``None`` for the task's own, ``'auto'``.
        proxy: see :class:`ProxySettings`. Checked: one of these.
        metric: which value of ``val_evaluator`` is the reward's ``metric``; ``None``: accuracy, box
            mAP or mean IoU.
        rejection: see :class:`Rejection`; ``None`` or ``False``: off. Checked: one of these.
        pruner: any of Optuna's with its arguments (see :func:`build_pruner`), by default
            successive halving; ``None`` or ``False``: none. Checked: the pruner.
        final_round: see :class:`FinalSettings`; ``None`` or ``False``: the best trial wins.
            Checked: one of these.
        warm_start: distillers that are tried first: names of hand-crafted methods, or dicts of
            options. The best of them takes part in the final round, so the found distiller is
            never worse than it there (without a final round: on the proxy).
        storage: URL of a PostgreSQL database for the study, ``None``: a journal in the work dir.
        heartbeat: seconds between two signs of life of a running trial; without one six times as
            long, its worker is dead and the trial is run again. Checked: a :class:`Heartbeat`.
        ranks_per_trial: processes of a launcher that share the batches of a trial.
        max_hours: begin nothing that would end later, counted from the start of the process.
            Checked: a :class:`TimeLimit`.
        train_teacher: train the teacher first when no ``teacher_ckpt`` is given.
        teacher_epochs: of that training, along the student's curve of the learning rate; ``None``:
            as many as the student's.
        resume: go on with the study in the work dir.
        dry_run: print what would be searched and stop.
        seed: of the sampler.
    """
    full_training: Dict[str, Any]
    layers: Mapping[str, Any]
    trials: int = 60
    space: Optional[Mapping[str, Any]] = None
    sampler: Any = None
    reward: Any = None
    metric: Optional[str] = None
    proxy: Any = None
    rejection: Any = True
    pruner: Any = True
    final_round: Any = True
    warm_start: Sequence[Union[str, Mapping[str, Any]]] = ()
    storage: Optional[str] = None
    heartbeat: Any = 20.0
    ranks_per_trial: int = 1
    max_hours: Any = None
    train_teacher: bool = False
    resume: bool = False
    dry_run: bool = False
    seed: int = 0
    full_epochs: Optional[int] = None
    teacher_epochs: Optional[int] = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], loader_batch_size: int,
                    world: int = 1) -> 'SearchSettings':
        """Check a config's ``train_cfg``.

        Args:
            config: without its ``type``.
            loader_batch_size: of the training images, for a proxy that names none.
            world: processes of the launcher.

        Raises:
            ConfigError: unknown or missing key, or a value out of range.
        """
        refuse_unknown(config, cls)
        for field in fields(cls):
            if field.default is MISSING and field.name not in config:
                raise ConfigError(f'train_cfg.{field.name} is missing: every search needs it')
        given = cls(**config)
        whole_number('train_cfg.trials', given.trials, 1)
        _check_kinds(given)
        if given.teacher_epochs is not None:
            whole_number('train_cfg.teacher_epochs', given.teacher_epochs, 1)
        if given.metric is not None and not (given.metric and isinstance(given.metric, str)):
            raise ConfigError(f'train_cfg.metric={given.metric!r}: must be the name of a value of '
                              "val_evaluator, such as 'coco/bbox_mAP_50'")
        reward = given.reward
        if isinstance(reward, str) and reward != AUTO:
            raise ConfigError(f"train_cfg.reward={reward!r}: must be 'auto' or weights of terms, "
                              'like dict(metric=0.5, gap=0.5)')
        if reward and reward != AUTO:
            reward = Reward(reward)
        proxy = ProxySettings.from_config(given.proxy or {}, loader_batch_size)
        sampler = _sampler(given, proxy)
        check_ranks(given.ranks_per_trial, world, proxy.batch_size)
        return replace(given, full_training=check_training(given.full_training,
                                                           'train_cfg.full_training'),
                       layers=dict(given.layers),
                       space=dict(given.space or {}), sampler=sampler, reward=reward or None,
                       proxy=proxy,
                       rejection=Rejection.from_config(given.rejection),
                       pruner=build_pruner(given.pruner, proxy.epochs),
                       final_round=FinalSettings.from_config(given.final_round),
                       storage=check_storage(given.storage),
                       max_hours=TimeLimit(given.max_hours), heartbeat=Heartbeat(given.heartbeat))

    def rewards(self, has_metric: bool, has_loss: bool = True,
                baseline: Optional[Outcome] = None,
                begun: Optional[Mapping[str, float]] = None) -> Tuple[Reward, Reward]:
        """Of the search, and of the final round.

        Args:
            has_metric, has_loss: whether they are measured on the held-out images.
            baseline: the undistilled student on the proxy, on which ``'auto'`` depends.
            begun: weights that ``'auto'`` meant when the study began: its trials have them.

        Raises:
            ConfigError: one is not, and one of the two counts it.
        """
        without = DEFAULT_WITHOUT_METRIC if has_loss else dict(gap=1.0)
        usual = DEFAULT if has_metric else without
        if self.reward == AUTO and has_metric and baseline is not None:
            usual = dict(begun) if begun else terms_for(baseline.metric, has_loss)
        own = self.reward if isinstance(self.reward, Reward) else Reward(usual)
        final = (self.final_round and self.final_round.reward) or own
        for reward in (own, final):
            reward.refuse_without_metric(has_metric)
            reward.refuse_without_loss(has_loss)
        return own, final

    @property
    def free_rejections(self) -> int:
        """So many rejected trials do not count."""
        free = self.rejection.free if self.rejection else None
        return self.trials if free is None else free


def _check_kinds(given: SearchSettings) -> None:
    for name in ('train_teacher', 'resume', 'dry_run'):
        value = getattr(given, name)
        if not isinstance(value, bool):
            raise ConfigError(f'train_cfg.{name}={value!r}: must be True or False')
    for name in ('proxy', 'space', 'layers'):
        value = getattr(given, name)
        if not isinstance(value, Mapping) and (value is not None or name == 'layers'):
            raise ConfigError(f'train_cfg.{name}={value!r}: must be a dict')
    if isinstance(given.warm_start, (str, Mapping)) or not isinstance(given.warm_start, Sequence):
        raise ConfigError(f'train_cfg.warm_start={given.warm_start!r}: must be a list of names of '
                          'methods and of dicts of options')


def _sampler(given: SearchSettings, proxy: ProxySettings) -> BaseSampler:
    config, prior = given.sampler or dict(type='MCTSSampler'), None
    if isinstance(config, Mapping) and 'experience' in config:
        config = dict(config)
        experience, own = config.pop('experience'), config.get('type')
        if 'MCTSSampler' in (own, getattr(own, '__name__', '')):
            prior = _prior(experience, proxy.samples, given.resume)
            if prior is not None and config.get('policy') == 'uct':
                _warn("sampler.policy='uct' knows no options: the experience is left out")
        elif experience is not None:  # another sampler than the config's base has
            _warn('sampler.experience is of MCTSSampler alone, it is left out')
    try:
        return build_sampler(config, given.seed, shared_name=level_of, prior=prior,
                             keys=('experience', ))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _prior(experience: Any, samples: Optional[int], resume: bool) -> Optional[Prior]:
    try:
        return load_prior(experience, samples, _warn)
    except DataError as error:
        if not resume:
            raise
        # The study has kept what it began with; whatever has become of the file.
        _warn(f'{error}; the study goes on with what it began with')
        return None


def _warn(line: str) -> None:
    warnings.warn(line, AutoKDWarning, stacklevel=2)

"""The teacher before the search: trained where that is asked for, checked, measured."""
from __future__ import annotations

import copy
import logging
import os
from collections import OrderedDict
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from autokd_mm.bank.identity import weights_digest
from autokd_mm.errors import ConfigError
from autokd_mm.measure.losses import first_words
from autokd_mm.models.algorithms import Teachers, load_teacher, predicts_as
from autokd_mm.models.algorithms.sync_bn import without_sync_bn
from autokd_mm.models.algorithms.teacher import AVERAGED, LAST_STEP
from autokd_mm.models.algorithms.teachers import each_teacher, one_for_each
from autokd_mm.optim import refusing, usable
from autokd_mm.pairs.images import as_one_dict, listed, several, teachers_alone
from autokd_mm.whole_file import replacing

CHECKPOINT = 'teacher.pth'
Paths = Union[str, List[str]]


def teacher_id(teacher: nn.Module) -> str:
    """Digest of the teacher's weights, whatever file they came from."""
    return weights_digest(teacher.state_dict())


def made_from(teacher: nn.Module, config: Config) -> Dict[str, Any]:
    """JSON values that identify a teacher: its weights, and what a config adds to them, such as
    the normalisation of its images, which is no part of a state dict."""
    described = []
    for own in map(as_one_dict, own_configs(config)):
        own.pop('init_cfg', None)  # where weights came from; they are known by their digest
        described.append(repr(_plain(own)))
    more = {key: config.model.teacher[key] for key in ('mean_logits', )
            if _several(config) and config.model.teacher.get(key)}
    if config.model.get('teacher_input'):
        more['teacher_input'] = config.model.teacher_input
    return dict(teacher=teacher_id(teacher), teacher_config=' and '.join(described),
                **{key: repr(_plain(value)) for key, value in more.items()})


def own_configs(config: Config) -> List[Any]:
    """The config of each teacher in ``config.model.teacher``; where it says nothing of how images
    are normalised, as the student's are."""
    return teachers_alone(config)


def _listed(config: Config) -> List[Any]:
    return listed(config.model.teacher)


def _several(config: Config) -> bool:
    return several(config.model.teacher)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def train_teacher(config: Config, full_training: Dict[str, Any], work_dir: str,
                  number: int = 0) -> str:
    """Train a teacher like the student will be, and keep its weights; with all ranks there are.

    Args:
        number: of the teacher, where there are several.

    Returns:
        ``<work_dir>/teacher.pth``, of several teachers ``teacher_<number>.pth``.

    Raises:
        ConfigError: the teacher has its own resolution, which the student's pipeline does not
            give.
    """
    if config.model.get('teacher_input'):
        raise ConfigError('teacher_ckpt: a teacher with model.teacher_input cannot be trained on '
                          "the student's images; train it by its own config and name its "
                          'checkpoint')
    name = _checkpoint(config, number)
    path = os.path.join(work_dir, name)
    stem = os.path.splitext(name)[0]
    own = copy.deepcopy(config)
    own.model = own_configs(config)[number]
    own.train_cfg = copy.deepcopy(full_training)
    own.work_dir = os.path.join(work_dir, stem)
    own.experiment_name = f'{stem}_of_{os.path.basename(os.path.normpath(work_dir))}'
    own.load_from, own.resume = None, True  # an interrupted training goes on where it was
    optim_wrapper = usable(own.optim_wrapper, distills=False)
    own.model = without_sync_bn(own.model)
    runner = Runner.from_cfg(own)
    with refusing(config.optim_wrapper, f'the teacher ({type(runner.model).__name__}); train it by '
                  'its own config and name its checkpoint'):
        runner.optim_wrapper = runner.build_optim_wrapper(optim_wrapper)
    runner.train()
    # Of several ranks each has running statistics of its own.
    if is_main_process():
        weights, which = _validated(runner)
        save_weights(weights, path)
        if which:
            runner.logger.info(f'{path}: {which}')
    barrier()
    return path


def _validated(runner: Runner) -> Tuple[Dict[str, Any], str]:
    """The weights of a training that is over, as its validation had them, and which these are in
    words: '' where there are no others.

    Hooks that average weights put the average into what is saved, so they are asked as for a
    checkpoint.
    """
    last = getattr(runner.model, 'module', runner.model).state_dict()
    checkpoint: Dict[str, Any] = dict(state_dict=OrderedDict(last), meta={})
    averaging = [hook for hook in runner.hooks if hasattr(hook, 'ema_model')]
    if not averaging:
        return last, ''
    if not all(getattr(hook, 'evaluate_on_ema', True) for hook in averaging):
        return last, LAST_STEP
    for hook in averaging:
        hook.before_save_checkpoint(runner, checkpoint)
    return dict(checkpoint['state_dict']), AVERAGED


def _checkpoint(config: Config, number: int) -> str:
    return f'teacher_{number}.pth' if _several(config) else CHECKPOINT


def save_weights(state_dict: Dict[str, Any], path: str) -> None:
    """Write a checkpoint of weights alone; ``path`` is there only when it is complete."""
    with replacing(path) as unfinished:
        torch.save(dict(state_dict=state_dict, meta={}), unfinished)


def evaluate(model: Any, val_loop: Any) -> Dict[str, float]:
    """The metrics of a :class:`FrozenTeacherDistill`'s teacher on the validation dataloader; of
    several teachers with their number in front. One that gives features alone has none."""
    several = isinstance(model.teacher, Teachers)
    return {f'{number}/{name}' if several else name: value
            for number, (teacher, view) in enumerate(each_teacher(model))
            if predicts_as(teacher, model.student)
            for name, value in _evaluate(model, teacher, view, val_loop).items()}


def _evaluate(model: Any, teacher: Any, view: Any, val_loop: Any) -> Dict[str, float]:
    loader, evaluator = val_loop.dataloader, val_loop.evaluator
    if hasattr(loader.dataset, 'metainfo'):
        evaluator.dataset_meta = loader.dataset.metainfo
    teacher.eval()
    with torch.no_grad():
        for data in loader:
            ready = model.data_preprocessor(data, False)
            inputs = ready['inputs'] if view is None else view(ready['inputs'])
            try:
                found = teacher(inputs, ready['data_samples'], mode='predict')
            except (AssertionError, AttributeError, KeyError, TypeError) as error:
                raise ConfigError(
                    f'model.teacher: {type(teacher).__name__} cannot predict the images of '
                    f'val_dataloader ({type(error).__name__}: {first_words(error)}); what it asks '
                    'of them is in meta_keys of the last step of its own test pipeline') from error
            evaluator.process(data_samples=found, data_batch=data)
    try:
        return evaluator.evaluate(len(loader.dataset))
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        # It is the student's: it may ask for masks of a teacher that has boxes alone.
        for metric in evaluator.metrics:
            metric.results.clear()
        print_log(f'teacher: val_evaluator cannot judge it ({type(error).__name__}: {error})',
                  'current', logging.WARNING)
        return {}


def ensure_teacher(model: Any, config: Config, full_training: Dict[str, Any], work_dir: str,
                   train: bool) -> Paths:
    """Path of the teacher's checkpoint, of several teachers a list; trains those without one
    first where ``train`` says so.

    Raises:
        ConfigError: there is no checkpoint and nobody asked to train one.
    """
    found = _paths(config, work_dir, train)
    missing = cannot_have(model, config, work_dir, train)
    if missing:
        raise ConfigError(missing)
    made = [path or train_teacher(config, full_training, work_dir, number)
            for number, path in enumerate(found)]
    paths: Paths = made if _several(config) else made[0]
    if paths != config.model.get('teacher_ckpt'):  # the algorithm has loaded those
        load_teacher(model.teacher, paths)
    return paths


def cannot_have(model: Any, config: Config, work_dir: str, train: bool) -> Optional[str]:
    """Why a search will have no teacher, in a line; ``None``: it has checkpoints, or will train
    what is missing."""
    found = _paths(config, work_dir, train)
    for (teacher, _), path in zip(each_teacher(model), found):
        if train and not path and not predicts_as(teacher, model.student):
            return ('train_cfg.train_teacher: the teacher gives features alone, it cannot be '
                    "trained on the student's task; name its checkpoint "
                    '(--cfg-options teacher_ckpt=FILE)')
    if not train and not all(found):
        which, example = ((f'teacher_ckpt[{found.index(None)}]', '"[FILE,FILE]"')
                          if _several(config) else ('teacher_ckpt', 'FILE'))
        return (f'{which} is not set: name the checkpoint of the trained teacher '
                f'(--cfg-options teacher_ckpt={example})')
    return None


def find_checkpoint(teacher: nn.Module, config: Config, work_dir: str,
                    train: bool) -> Optional[Paths]:
    """The checkpoint that ``teacher`` holds, of several teachers a list: the config's, or, where
    teachers are trained here, what was trained in this work dir, which is loaded. ``None`` where
    one is missing."""
    found = _paths(config, work_dir, train)
    if not all(found):
        return None
    paths: Paths = [str(path) for path in found] if _several(config) else str(found[0])
    if paths != config.model.get('teacher_ckpt'):
        load_teacher(teacher, paths)
    return paths


def _paths(config: Config, work_dir: str, train: bool) -> List[Optional[str]]:
    """The checkpoint of each teacher that has one by now."""
    given = one_for_each(config.model.get('teacher_ckpt'), len(_listed(config)), 'teacher_ckpt')
    found: List[Optional[str]] = []
    for number, path in enumerate(given):
        trained = os.path.join(work_dir, _checkpoint(config, number))
        found.append(path or (trained if train and os.path.isfile(trained) else None))
    return found

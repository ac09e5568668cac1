"""Loading weights so that a wrong checkpoint is an error and not a bad teacher."""
from __future__ import annotations

import logging
import os
import re
from typing import (Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple,
                    Union)

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner.checkpoint import CheckpointLoader

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.algorithms.body_weights import of_body
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.models.backbones.convert import to_classifier_state_dict
from autokd_mm.safe_load import load_url, load_weights, why

# Under this share of matching parameters the checkpoint is of another network.
MATCH = 0.95
# Which weights of a training with EMAHook are taken.
AVERAGED = 'the averaged weights (EMAHook), which were validated'
LAST_STEP = 'the weights of the last step, which were validated (evaluate_on_ema=False)'


def load_teacher(teacher: BaseModel,
                 teacher_ckpt: Union[str, Sequence[Optional[str]]]) -> None:
    """Load ``teacher_ckpt`` into ``teacher``; errors name the key ``teacher_ckpt``.

    Args:
        teacher_ckpt: of :class:`Teachers` one for each, ``None`` for those that stay as they are.

    Raises:
        CheckpointError: of :func:`load_network`.
        ConfigError: as many checkpoints as teachers are not given.
    """
    if not isinstance(teacher, Teachers):
        if not isinstance(teacher_ckpt, str):
            raise ConfigError(f'teacher_ckpt: one teacher has one checkpoint, got {teacher_ckpt}')
        load_network(teacher, teacher_ckpt, 'teacher_ckpt')
        return
    if isinstance(teacher_ckpt, str) or len(teacher_ckpt) != len(teacher):
        raise ConfigError(f'teacher_ckpt: {len(teacher)} teachers need a list of {len(teacher)} '
                          f'checkpoints, got {teacher_ckpt}')
    for number, (network, path) in enumerate(zip(teacher.networks(), teacher_ckpt)):
        if path:
            load_network(network, path, f'teacher_ckpt[{number}]')


def load_network(model: BaseModel, path: str, key: str) -> None:
    """Load a checkpoint into ``model``, which must be the network it was made from.

    Accepts training checkpoints (``state_dict`` inside), plain state dicts, checkpoints of a
    distilled student (``architecture.*``) and the published CIFAR ResNets; local paths and
    whatever MMEngine's loader knows (``https://`` and the like).

    Args:
        key: config key or argument that named the file, for the message.

    Raises:
        CheckpointError: the file is missing or torn, or less than 95 % of the model's parameters
            (by number of values) are in it, or one is with another shape, as a head for other
            classes is.
    """
    found = read_validated(path, key)
    if found.which:
        print_log(f'{key}: {path}: {found.which}', 'current')
    own = model.state_dict()
    weights = of_body(model, _strip(found.weights), own)
    wanted = {name: value for name, value in own.items() if value.is_floating_point()}
    fits = {name: weights[name] for name in own
            if name in weights and weights[name].shape == own[name].shape}
    total = sum(value.numel() for value in wanted.values())
    share = sum(own[name].numel() for name in fits if name in wanted) / max(total, 1)
    missing = [name for name in wanted if name not in fits]
    if share < MATCH:
        first = missing[0]
        differs = (f'first that differs: {first} has shape {tuple(weights[first].shape)} there and '
                   f'{tuple(own[first].shape)} here' if first in weights else
                   f'first that is not: {first}; the file begins with '
                   f'{next(iter(weights), "nothing")}')
        raise CheckpointError(
            f'{key}: {path} is of another network: {share:.0%} of the parameters of '
            f'{type(model).__name__} are in it, {MATCH:.0%} are needed ({differs})')
    for name in missing:
        if name in weights:
            raise CheckpointError(
                f'{key}: {path} is of another network: {name} has shape '
                f'{tuple(weights[name].shape)} there and {tuple(own[name].shape)} here')
    if missing:
        print_log(f'{key}: {path} has no {", ".join(missing[:5])}'
                  f'{" ..." if len(missing) > 5 else ""}; they stay as initialised',
                  'current', logging.WARNING)
    model.load_state_dict(fits, strict=False)
    model._not_loaded = tuple(missing)
    model._trained_on = found.classes
    model._is_init = True  # MMEngine's init_weights must not overwrite what was loaded


def read_checkpoint(path: str, key: str) -> Dict[str, Any]:
    """The state dict in a checkpoint, the averaged one where it was validated; raises as
    :func:`load_network` does."""
    return read_validated(path, key).weights


class Validated(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        weights: the state dict that its training has validated.
        which: which one that is in words, '' where there is but one.
        classes: names of the classes that it was trained on; ``None``: it does not say.
    """
    weights: Dict[str, Any]
    which: str
    classes: Optional[List[str]]


def read_validated(path: str, key: str) -> Validated:
    """The state dict in a checkpoint that its training has validated.

    MMEngine's ``EMAHook`` keeps two: it saves the averaged weights as ``state_dict`` and those of
    the last step as ``ema_state_dict``. It validates the averaged ones; mmpretrain's can be told
    not to.

    Raises:
        CheckpointError: of :func:`load_network`.
    """
    checkpoint = _read(str(path), key)
    weights = next((checkpoint[inner] for inner in ('state_dict', 'model')
                    if isinstance(checkpoint.get(inner), dict)), checkpoint)
    other, meta = checkpoint.get('ema_state_dict'), checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    classes = _classes(meta)
    if not isinstance(other, dict):
        return Validated(weights, '', classes)
    if not re.search(r'evaluate_on_ema\W*(=|:)\s*False', str(meta.get('cfg') or '')):
        return Validated(weights, AVERAGED, classes)
    last = {name[len('module.'):]: value for name, value in other.items()
            if name.startswith('module.')}
    return Validated(last, LAST_STEP, classes)


def _classes(meta: Dict[str, Any]) -> Optional[List[str]]:
    dataset = meta.get('dataset_meta')
    found = dataset.get('classes') if isinstance(dataset, dict) else None
    found = found or meta.get('CLASSES')  # of trainings before MMEngine
    return [str(name) for name in found] if isinstance(found, (list, tuple)) and found else None


def trained_on(network: torch.nn.Module) -> Optional[List[str]]:
    """Names of the classes of the checkpoint that :func:`load_network` has loaded into a network;
    ``None``: it did not say, or there was none."""
    return getattr(network, '_trained_on', None)


def is_loaded(network: torch.nn.Module) -> bool:
    """Whether :func:`load_network` has given a network its weights."""
    return hasattr(network, '_not_loaded')


def not_loaded(teacher: torch.nn.Module, sources: Iterable[str]) -> Optional[Tuple[str, str]]:
    """A parameter that the checkpoint of a teacher has not given, and the module, of those that are
    heard, in which it is; ``None``: there is none.

    Args:
        sources: of the records, ``'head.fc'`` or ``'neck[2]'``.
    """
    networks = teacher.networks() if isinstance(teacher, Teachers) else [teacher]
    missing = {}
    for network in networks:
        own = dict(network.named_parameters())  # buffers may be computed from nothing
        missing.update({id(own[name]): name for name in getattr(network, '_not_loaded', ())
                        if name in own})
    modules = dict(teacher.named_modules()) if missing else {}
    for source in sources:
        module = modules.get(source.partition('[')[0])
        if module is None:
            continue
        for parameter in module.parameters():
            if id(parameter) in missing:
                return missing[id(parameter)], source
    return None


def refuse_not_loaded(teacher: torch.nn.Module, sources: Iterable[str]) -> None:
    """A head that stays as it was drawn has nothing to teach.

    Raises:
        CheckpointError: of what is heard something is not in the checkpoint.
    """
    found = not_loaded(teacher, sources)
    if found:
        raise CheckpointError(f'teacher_ckpt: the file has no {found[0]}, and what the teacher '
                              f'says at {found[1]!r} is compared; name the checkpoint of the '
                              'whole teacher, or leave that layer out')


def _read(path: str, key: str) -> Dict[str, Any]:
    remote = '://' in path
    if not remote and not os.path.isfile(os.path.expanduser(path)):
        raise CheckpointError(f'{key}: there is no file {path}')
    try:
        if not remote:
            checkpoint = load_weights(path)
        elif path.startswith(('http://', 'https://')):
            checkpoint = load_url(path)
        else:  # openmmlab://, s3:// ...
            checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:
        raise CheckpointError(f'{key}: {path} cannot be read ({why(error)})') from None
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{key}: {path} holds a {type(checkpoint).__name__}, '
                              'not a state dict')
    return checkpoint


def _strip(weights: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    tensors = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    for prefix in ('module.', 'architecture.'):
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix):]: value for name, value in tensors.items()
                       if name.startswith(prefix)}
    return to_classifier_state_dict(tensors)

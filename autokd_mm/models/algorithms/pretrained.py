"""Whether the files that an ``init_cfg`` names have given a network its first weights."""
from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Optional, Set, Tuple

import torch
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from autokd_mm.models.algorithms.teacher import is_loaded, read_checkpoint
from autokd_mm.models.algorithms.teachers import Teachers, each_teacher

# Under this share of a module's values a file is of another network: a stem for other channels or a
# head for other classes is less.
MATCH = 0.5


def refuse_not_pretrained(model: nn.Module, student: Optional[nn.Module] = None) -> None:
    """Look at a network, or at an algorithm's student and those of its teachers that nothing but
    their own config has given weights.

    Args:
        student: in the place of the algorithm's own.

    Raises:
        CheckpointError: of :func:`not_pretrained`.
    """
    networks: Dict[str, Any] = dict(model=model)
    if 'architecture' in model._modules:
        networks = {'model.architecture': student or model.architecture}
    if isinstance(model, FrozenTeacherDistill) and model.teacher_was_initialised:
        several = isinstance(model.teacher, Teachers)
        for number, (teacher, _) in enumerate(each_teacher(model)):
            if not is_loaded(teacher):
                key = f'model.teacher.teachers[{number}]' if several else 'model.teacher'
                networks[key] = teacher
    for key, network in networks.items():
        fault = not_pretrained(network, key)
        if fault:
            raise CheckpointError(fault)


def not_pretrained(network: nn.Module, key: str) -> Optional[str]:
    """A line about the first part of a network that should have begun with a file's weights and
    has not; ``None``: all have.

    MMEngine loads what has the same name and says in the log what has not, so a file whose layers
    are named otherwise leaves a network as it was drawn. Values are compared here, not names, as
    some backbones rename a file's weights when they load them.

    Args:
        network: as ``init_weights`` has left it, before any step and any other file.
        key: of the network in the config, such as ``'model.architecture'``.
    """
    done: Tuple[str, ...] = ()
    for name, module in network.named_modules():
        for one in _files(module):
            if any(name == other or name.startswith(f'{other}.') or not other for other in done):
                break  # MMEngine has left out what lies below
            done += (name, )
            where = '.'.join(filter(None, (key, name, 'init_cfg')))
            fault = _fault(module, str(one['checkpoint']), one.get('prefix'), where)
            if fault:
                return fault
    return None


def names_a_file(init_cfg: Mapping[str, Any]) -> bool:
    """Whether an ``init_cfg`` reads weights."""
    kind = init_cfg.get('type')
    return str(getattr(kind, '__name__', kind)) in ('Pretrained', 'PretrainedInit') and bool(
        init_cfg.get('checkpoint'))


def _files(module: nn.Module) -> Iterator[Mapping[str, Any]]:
    found = getattr(module, 'init_cfg', None)
    for one in [found] if isinstance(found, Mapping) else found or ():
        if isinstance(one, Mapping) and names_a_file(one):
            yield one


def _fault(module: nn.Module, path: str, prefix: Optional[str], where: str) -> Optional[str]:
    try:
        weights = read_checkpoint(path, f'{where}.checkpoint')
    except CheckpointError:
        return None  # MMEngine has read it; it takes files that are not read here
    own = {name: value for name, value in module.state_dict().items() if _says(value)}
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    there = {name[len(start):]: value for name, value in weights.items()
             if name.startswith(start) and _says(value)}
    known: Set[Any] = set(map(_print, there.values()))
    total = sum(value.numel() for value in own.values())
    share = sum(value.numel() for value in own.values() if _print(value) in known) / max(total, 1)
    if not total or share >= MATCH:
        return None
    return (f'{where}.checkpoint: {share:.0%} of the values of {type(module).__name__} come from '
            f'{path}, {MATCH:.0%} are needed: it has {_first(there, own)}, the network has '
            f'{_first(own, there)}; name a file of this network, or {where}.prefix')


def _says(value: Any) -> bool:
    """A tensor whose values tell where it is from."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1 \
        and bool(value.min() != value.max())


def _print(value: torch.Tensor) -> Tuple[int, str, str]:
    """The same of the same numbers in another shape or order."""
    numbers = value.detach().double()
    return value.numel(), f'{numbers.sum().item():.5g}', f'{numbers.abs().sum().item():.5g}'


def _first(these: Dict[str, Any], those: Dict[str, Any]) -> str:
    """A name of ``these`` that ``those`` have not."""
    return next((name for name in these if name not in those), next(iter(these), 'nothing'))

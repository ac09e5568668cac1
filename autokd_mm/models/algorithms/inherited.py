"""Parts of the student that begin as the teacher's: which of them fit, and how they are given."""
from __future__ import annotations

import logging
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.models.algorithms.teachers import Teachers
from autokd_mm.space.start import CLASSIFIER, HEAD, NECK_HEAD, OWN, STARTS

# Running statistics, which a frozen part keeps.
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
_PARTS = tuple(start for start in STARTS if start != OWN)
# What else decides how the outputs of a dense head are read.
_MEANINGS = ('use_sigmoid_cls', 'norm_on_bbox', 'centerness_on_reg', 'reg_decoded_bbox',
             'reg_class_agnostic', 'with_objectness')
KEY = 'model.start'


class Part(NamedTuple):
    """A part of a student that fits its teacher's.

    Attributes:
        modules: names of its modules, the same in both.
        tensors: so many are copied.
        without: of a neck that fits in parts only, the first thing in which the rest differs.
    """
    modules: Tuple[str, ...]
    tensors: int
    without: Optional[str] = None


class Parts(NamedTuple):
    """What a student can take of its teacher.

    Attributes:
        student: as built.
        fitting: by start, see :mod:`autokd_mm.space.start`.
        faults: of the others why they do not fit.
    """
    student: nn.Module
    fitting: Dict[str, Part]
    faults: Dict[str, str]

    def in_words(self) -> List[str]:
        """A line for each that fits, and one that says why others do not."""
        lines = [f'start={start}: {", ".join(part.modules)} as the teacher\'s ({part.tensors} '
                 'tensors' + (f', not all: {part.without}' if part.without else '') + ')'
                 for start, part in self.fitting.items()]
        reasons = dict.fromkeys(self.faults.values())
        if reasons:
            lines.append(f'start={" and ".join(self.faults)} left out: {"; ".join(reasons)}')
        return lines


def parts_of(student: nn.Module, teacher: nn.Module, starts: Sequence[str]) -> Parts:
    """Which of ``starts`` fit. Every tensor of a part must be in the teacher, in its shape; an
    auxiliary head that does not fit is left out, as it says nothing of a finished student. Of a
    neck the modules that fit are enough: behind another backbone its lateral convolutions differ.

    Args:
        teacher: of several the first is asked.
    """
    fitting, faults = {}, {}
    for start in starts:
        modules, fault = _fits(student, first_of(teacher), start)
        if modules:
            # A head may have one module in several places.
            tensors = {id(tensor) for name in modules for tensor in
                       student.get_submodule(name).state_dict(keep_vars=True).values()}
            fitting[start] = Part(modules, len(tensors), fault)
        else:
            faults[start] = str(fault)
    return Parts(student, fitting, faults)


def first_of(teacher: nn.Module) -> nn.Module:
    """The teacher that parts are taken of."""
    return teacher.networks()[0] if isinstance(teacher, Teachers) else teacher


def starts_of(student: nn.Module, classifies: bool) -> Tuple[str, ...]:
    """The starts that mean something for a classifier, or for a detector or segmentor."""
    if classifies:
        return (CLASSIFIER, )
    return (HEAD, NECK_HEAD) if _named(student, 'neck') else (HEAD, )


def copy_part(student: nn.Module, teacher: nn.Module, modules: Sequence[str]) -> None:
    """Give the student's modules the weights and buffers of the teacher's."""
    for name in modules:
        own = student.get_submodule(name).state_dict()
        with torch.no_grad():
            for key, value in first_of(teacher).get_submodule(name).state_dict().items():
                own[key].copy_(value)


def freeze_part(student: nn.Module, modules: Sequence[str]) -> None:
    """Take the gradient from the modules' parameters; see :func:`keep_statistics`, too."""
    for name in modules:
        student.get_submodule(name).requires_grad_(False)


def keep_statistics(student: nn.Module, modules: Sequence[str]) -> None:
    """Let the normalisations of frozen modules normalise by the statistics that were copied, as the
    teacher's do: those of a batch of the student's features would make another head of it, and
    running ones would be the one thing of it that still changes. To be called behind ``train``."""
    for name in modules:
        for module in student.get_submodule(name).modules():
            if isinstance(module, _NORMS):
                module.eval()


def read_start(config: Any, key: str = KEY) -> Tuple[str, bool]:
    """The part that ``model.start`` names, and whether it is frozen.

    Args:
        key: for the message.

    Raises:
        ConfigError: no dict, another key or part, or none.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"{key}={config!r}: must be a dict such as dict(part='{HEAD}')")
    for name in config:
        if name not in ('part', 'frozen'):
            raise ConfigError(f'{key}: {nearest(name, ("part", "frozen"))}')
    if 'part' not in config:
        raise ConfigError(f"{key}.part is missing: one of {', '.join(_PARTS)}")
    part, frozen = config['part'], config.get('frozen', False)
    if not isinstance(frozen, bool):
        raise ConfigError(f'{key}.frozen={frozen!r}: must be True or False')
    if part not in _PARTS:
        raise ConfigError(f'{key}.part: {nearest(part, _PARTS)}')
    return part, frozen


class StartFromTeacher:
    """What ``model.start`` of a :class:`FrozenTeacherDistill` asks for.

    Args:
        config: ``dict(part=...)``, one of :mod:`autokd_mm.space.start`; with ``frozen=True`` it is
            not trained.
        student: whose part it is; it is frozen here, before an optimiser or a wrapper sees it.
        teacher: that the part is copied from.

    Attributes:
        modules: that are copied.
        frozen: whether they are.
        due: they have not been copied yet.

    Raises:
        ConfigError: another key or part, or one that does not fit; with the shapes.
    """

    def __init__(self, config: Any, student: nn.Module, teacher: nn.Module) -> None:
        part, self.frozen = read_start(config)
        parts = parts_of(student, teacher, (part, ))
        if part not in parts.fitting:
            raise ConfigError(f'{KEY}.part={part!r} cannot be copied: {parts.faults[part]}')
        self.modules, self.due = parts.fitting[part].modules, True
        if self.frozen:
            freeze_part(student, self.modules)

    def give(self, student: nn.Module, teacher: nn.Module, trained: bool) -> None:
        """Copy the part, the first time.

        Args:
            trained: the teacher has weights of a file.
        """
        if not self.due:
            return
        self.due = False
        if not trained:
            print_log(f'{KEY}: teacher_ckpt is not set, so {", ".join(self.modules)} begin as the '
                      'teacher is initialised', 'current', logging.WARNING)
        copy_part(student, teacher, self.modules)


def _fits(student: nn.Module, teacher: nn.Module,
          start: str) -> Tuple[Tuple[str, ...], Optional[str]]:
    """The modules that are copied, and why others, or all, are not."""
    heads, necks = _named(student, 'head'), _named(student, 'neck')
    if not heads:
        return (), f'the student ({type(student).__name__}) has no head with weights'
    if start == NECK_HEAD and not necks:
        return (), f'the student ({type(student).__name__}) has no neck with weights'
    found, without = [], None
    for name in necks if start == NECK_HEAD else []:
        fault = _differs(student, teacher, name)
        inside = [name] if fault is None else _inside(student, teacher, name)
        if not inside:
            return (), fault
        found += inside
        without = without or fault
    for name in heads:
        fault = _differs(student, teacher, name)
        if fault is None:
            found.append(name)
        elif not name.startswith('aux'):
            return (), fault
    return tuple(found), without


def _inside(student: nn.Module, teacher: nn.Module, name: str) -> List[str]:
    """The modules inside a module that fit. Lists are looked into; of a block, as of a convolution
    with its normalisation, all must fit."""
    found: List[str] = []
    for child, module in student.get_submodule(name).named_children():
        whole = f'{name}.{child}'
        if module.state_dict() and _differs(student, teacher, whole) is None:
            found.append(whole)
        elif isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            found += _inside(student, teacher, whole)
    return found


def _named(network: nn.Module, kind: str) -> List[str]:
    """The modules of a network that are called so and have weights: ``bbox_head`` is a head."""
    return [name for name, module in network.named_children()
            if name.endswith((kind, f'{kind}s')) and module.state_dict()]


def _differs(student: nn.Module, teacher: nn.Module, name: str) -> Optional[str]:
    """The first thing in which a module of both differs."""
    other = dict(teacher.named_modules()).get(name)
    if other is None:
        return f'the teacher ({type(teacher).__name__}) has no {name}'
    here, there = (module.state_dict(keep_vars=True)
                   for module in (student.get_submodule(name), other))
    for key in [*there, *here]:
        if key not in here or key not in there:
            who = 'teacher' if key in there else 'student'
            return f'{name}.{key} is in the {who} alone'
        if here[key].shape != there[key].shape:
            return (f'{name}.{key} is {_sides(there[key])} in the teacher and {_sides(here[key])} '
                    'in the student')
    meant = [_meaning(module, name) for module in (student.get_submodule(name), other)]
    for key in meant[0]:
        if key in meant[1] and meant[0][key] != meant[1][key]:
            return (f'{key} is {meant[1][key]} in the teacher and {meant[0][key]} in the student, '
                    'so equal weights would mean something else')
    first: Dict[int, str] = {}
    for key, tensor in here.items():
        twin = first.setdefault(id(tensor), key)
        if there[key] is not there[twin]:
            return f'{name}.{key} and {name}.{twin} are one tensor in the student alone'
    return None


def _meaning(part: nn.Module, name: str) -> Dict[str, Any]:
    """By name what the numbers that a head's convolutions give mean, beside their shapes."""
    found: Dict[str, Any] = {}
    for below, module in part.named_modules():
        whole = f'{name}.{below}' if below else name
        for key in _MEANINGS:
            if isinstance(getattr(module, key, None), (bool, int)):
                found[f'{whole}.{key}'] = getattr(module, key)
        coder: Any = getattr(module, 'bbox_coder', None)
        if coder is not None:
            found[f'{whole}.bbox_coder'] = type(coder).__name__
            for key in ('means', 'stds'):  # a list in one config, a tuple in the other
                found[f'{whole}.bbox_coder.{key}'] = tuple(getattr(coder, key, None) or ())
        anchors = getattr(getattr(module, 'prior_generator', None), 'base_anchors', None)
        if anchors:
            found[f'{whole}.anchors'] = [[[round(side, 2) for side in anchor]
                                          for anchor in level.tolist()] for level in anchors]
    return found


def _sides(tensor: torch.Tensor) -> str:
    return ' x '.join(map(str, tensor.shape)) or 'a number'

"""The loss of a student on held-out images, also of heads that have one in training only."""
from __future__ import annotations

import copy
import math
from collections import deque
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from autokd_mm.seeding import seeded_on

# How a loss is measured: as in evaluation; image by image as in training, of the heads or of the
# blocks of a backbone, too; or not at all.
EVALUATION, TRAINING, THROUGHOUT, NONE = 'evaluation', 'training', 'throughout', 'none'
_PLAIN, _LISTS = (bool, int, float, str, type(None)), (list, deque, dict)
_TOLERANCE = 1e-4


class Found(NamedTuple):
    """How a student's loss can be measured.

    Attributes:
        mode: one of the four.
        errors: what was raised by those that were tried, in their order.
    """
    mode: str
    errors: Sequence[Exception] = ()


def total_loss(losses: Dict[str, Any]) -> torch.Tensor:
    """Sum of everything with ``loss`` in its name, as MMEngine's ``parse_losses`` does it; the
    whole number 0, which leaves the format of what it is added to, where there is nothing."""
    parts: List[torch.Tensor] = []
    for name, value in losses.items():
        if 'loss' in name:
            parts.extend(item.mean() for item in (value if isinstance(value, list) else [value]))
    return sum(parts[1:], parts[0]) if parts else torch.zeros((), dtype=torch.int64)


@torch.no_grad()
def loss_of_images(student: nn.Module, inputs: torch.Tensor, samples: Sequence[Any],
                   mode: str) -> float:
    """Sum of the loss over the images of a batch, of a student in evaluation mode.

    With :data:`TRAINING` and :data:`THROUGHOUT` each image is a batch of its own, with the same
    random numbers and the state that the student has now, so that its loss is the same in
    whichever batch it is, though the head may pair images, or draw. With :data:`NONE` it is NaN.

    Args:
        inputs: N x C x H x W, normalised. samples: N.
    """
    if mode == NONE:
        return math.nan
    samples = [_for_a_loss(sample) for sample in samples]
    if mode == EVALUATION:
        return float(total_loss(student(inputs, samples, mode='loss'))) * len(inputs)
    total = 0.0
    for image, sample in zip(inputs.split(1), samples):
        with seeded_on(inputs.device, 0, 7), in_training(student, mode == THROUGHOUT):
            total += float(total_loss(student(image, [sample], mode='loss')))
    return total


def _for_a_loss(sample: Any) -> Any:
    """A data sample whose instances can be renamed and taken out, as RoI heads do it with the
    proposals of a file; who measures next finds them all."""
    inner = {name: value for name, value in sample.items() if isinstance(value, BaseDataElement)
             } if isinstance(sample, BaseDataElement) else {}
    if inner:
        sample = sample.clone()
        for name, value in inner.items():
            setattr(sample, name, value.clone())
    return sample


@torch.no_grad()
def find_mode(student: nn.Module, inputs: torch.Tensor, samples: Sequence[Any],
              compare: bool = True) -> Found:
    """How the loss of ``student`` can be measured, tried on a batch.

    Some heads give their loss other tensors in training than in evaluation: DINO's has none in
    evaluation, FCOS's has one of boxes in other units. The one that is trained is measured.

    Args:
        student: left in evaluation mode.
        compare: where evaluation has a loss, it must be that of training, else the latter is
            measured; without, any will do.
    """
    student.eval()
    losses: Dict[str, float] = {}
    errors: List[Exception] = []
    for mode in (EVALUATION, TRAINING, THROUGHOUT):
        try:
            with seeded_on(inputs.device, 0, 7), given_back(student):
                losses[mode] = loss_of_images(student, inputs[:1], samples[:1], mode)
        except Exception as error:
            errors.append(error)
        if losses and (mode != EVALUATION or not compare):
            break
    if EVALUATION in losses and all(_alike(losses[EVALUATION], loss) for loss in losses.values()):
        return Found(EVALUATION, errors)
    return Found(next((mode for mode in (TRAINING, THROUGHOUT) if mode in losses), NONE), errors)


def _alike(one: float, other: float) -> bool:
    return not math.isfinite(one) or math.isclose(one, other, rel_tol=_TOLERANCE,
                                                  abs_tol=_TOLERANCE)


@contextmanager
def in_training(student: nn.Module, throughout: bool = False) -> Iterator[None]:
    """Inside, the algorithm, its parts and everything in its heads take themselves to be trained,
    all else is as it was.

    Normalisations use their running statistics, and nothing is dropped. Whatever the modules
    change is given back, also behind an error.

    Args:
        throughout: let the blocks of backbone and neck take themselves to be trained, too.
    """
    with given_back(student):
        for module in _branching(student, throughout):
            module.training = True
        yield


@contextmanager
def given_back(student: nn.Module) -> Iterator[None]:
    """Behind it modules have the mode, buffers, counters and lists that they had before."""
    states = [_State(module) for module in student.modules()]
    try:
        yield
    finally:
        for state in states:
            state.give_back()


def _branching(student: nn.Module, throughout: bool) -> List[nn.Module]:
    """Modules that may do something else in training, but for noise and running statistics.

    Blocks inside a backbone or neck are mostly left out: there the difference is noise, or how
    something is computed.
    """
    found = []
    for name, module in student.named_modules():
        parts, kind = name.split('.'), type(module)
        if not (throughout or len(parts) == 1 or any(part.endswith('head') for part in parts)):
            continue
        if not (kind.__module__.startswith('torch.nn.') or 'drop' in kind.__name__.lower()
                or isinstance(module, (_NormBase, _DropoutNd))):
            found.append(module)
    return found


class _State:
    """What a module may change in a forward pass, beside its parameters."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._training = module, module.training
        self._buffers = {name: (buffer, None if buffer is None else buffer.clone())
                         for name, buffer in module._buffers.items()}
        own = {name: value for name, value in vars(module).items() if not name.startswith('_')}
        self._plain = {name: value for name, value in own.items() if isinstance(value, _PLAIN)}
        self._lists = {name: (value, copy.copy(value)) for name, value in own.items()
                       if type(value) in _LISTS}

    def give_back(self) -> None:
        for name, (buffer, before) in self._buffers.items():
            if buffer is not None and before is not None:
                buffer.copy_(before)
            self._module._buffers[name] = buffer
        self._module.__dict__.update(self._plain)
        for name, (value, before) in self._lists.items():
            value.clear()
            (value.update if isinstance(value, dict) else value.extend)(before)
            self._module.__dict__[name] = value
        self._module.training = self._training


def first_words(error: Optional[Exception]) -> str:
    """An error in a line."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:200]

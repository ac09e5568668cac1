"""Listening to a network with any of MMRazor's recorders and deliveries."""
from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, List, Optional, Tuple

import torch
from mmrazor.models.task_modules import ParameterRecorder
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers.early_stop import (as_far_as_recorded, calls_of, calls_read,
                                                     read_of)

Modes = Tuple[str, ...]


@contextmanager
def recording(distiller: Any, who: str) -> Iterator[None]:
    """What the forward pass inside makes is recorded and delivered.

    MMRazor's managers leave in the order in which they were entered, and their recorders of methods
    remember the method from when they were built. Two on one function then lose each other's
    records, or leave a wrapper behind. Here each wraps what it finds, and the last one leaves
    first. Deliveries come first, so that what is delivered is also recorded.

    Args:
        who: ``'student'`` or ``'teacher'``.
    """
    recorders = getattr(distiller, f'{who}_recorders').recorders
    with ExitStack() as stack:
        for one in [*distiller.deliveries.deliveries.values(), *recorders.values()]:
            owner = getattr(one, 'imported_class', None) or getattr(one, 'imported_cls', None)
            if owner is not None:
                one.origin_method = getattr(owner, one.method_name)
            stack.enter_context(one)
        yield


def hear_teacher(distiller: Any, teacher: nn.Module, inputs: torch.Tensor,
                 data_samples: Optional[List[Any]], modes: Modes = (),
                 labels: bool = True) -> Modes:
    """Run the teacher, without gradients and only as far as is needed, so that the teacher's
    recorders have what the losses read.

    Modules and most methods run in mode ``'tensor'``. What is called only while a loss is computed,
    such as a head's ``loss_module``, is heard in mode ``'loss'``, and so is what is delivered to
    the student, which runs in that mode.

    Args:
        modes: what an earlier call returned.
        labels: whether the samples have what a loss needs. Where not, recorders may stay empty.

    Returns:
        The mode in which everything was heard, for the next call.

    Raises:
        ConfigError: a recorder hears nothing, or less than a loss reads.
    """
    if not modes:
        modes = ('loss', ) if distiller.deliveries.deliveries else ('tensor', 'loss')
    if not labels or data_samples is None:
        modes = ('tensor', )
    for mode in modes:
        distiller.set_deliveries_override(False)
        with torch.no_grad(), recording(distiller, 'teacher'), \
                as_far_as_recorded(teacher, distiller):
            teacher(inputs, data_samples, mode=mode)
        if not labels or not _unheard(distiller):
            return (mode, )
    raise ConfigError(f'model.distiller.{_unheard(distiller)}; name what the teacher itself calls '
                      'for every batch')


def _unheard(distiller: Any) -> str:
    """What the losses or the student wait for in vain, in words."""
    for name, delivery in distiller.deliveries.deliveries.items():
        if not delivery.data_queue:
            return f'distill_deliveries.{name}: it is not called while the teacher runs'
    for name, calls in calls_read(distiller).items():
        recorder = distiller.teacher_recorders.recorders[name]
        count = len(recorder.data_buffer)
        if count < calls:
            found = f'called {count} time{"s" * (count > 1)}' if count else 'not called'
            index = next(index for read, index in read_of(distiller)
                         if read == name and calls_of(index) == calls)
            return (f'teacher_recorders.{name}: {recorder.source!r} is {found} while the teacher '
                    f'runs, and a loss reads record_idx={index} of it')
    return ''


def runs_teacher(distiller: Any) -> bool:
    """Whether the losses need a forward pass of the teacher: its parameters are there without."""
    return bool(distiller.deliveries.deliveries) or any(
        not isinstance(recorder, ParameterRecorder)
        for recorder in distiller.teacher_recorders.recorders.values())


def hook_to_teacher(distiller: Any, teacher: nn.Module) -> None:
    """Let a copied distiller listen to the teacher that it shares with its original."""
    for recorder in distiller.teacher_recorders.recorders.values():
        if isinstance(recorder, ParameterRecorder):
            recorder.data_buffer.clear()  # a copy of the parameter
    distiller.prepare_from_teacher(teacher)

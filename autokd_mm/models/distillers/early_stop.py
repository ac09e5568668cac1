"""Running a network only as far as somebody listens."""
from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Sequence, Tuple

from mmrazor.models.task_modules import ModuleOutputsRecorder, ParameterRecorder
from torch import nn


class _Enough(BaseException):
    """Not an ``Exception``, so that no network's own ``except`` takes it for a fault."""


@contextmanager
def stop_when(modules: Sequence[nn.Module], enough: Callable[[], bool]) -> Iterator[None]:
    """A forward pass inside ends as soon as ``enough()`` holds behind one of the modules.

    What would come next, such as the heads behind a neck, is not run; the call of the network
    does not return, and execution goes on behind the ``with`` block. To be entered last: hooks
    that were there before have seen the output when ``enough`` is asked.

    Args:
        modules: behind whose forward pass it is asked.
        enough: whether all that is wanted is there.
    """

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if enough():
            raise _Enough

    handles = [module.register_forward_hook(hook) for module in dict.fromkeys(modules)]
    try:
        yield
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()


def as_far_as_recorded(teacher: nn.Module, distiller: Any) -> ContextManager[None]:
    """A forward pass of the teacher inside ends when its recorders have all that the losses read.

    The whole network runs where the distiller has deliveries, or records anything but inputs and
    outputs of modules, and parameters.

    Args:
        teacher: to which the recorders listen already (``prepare_from_teacher``).
        distiller: a built ``ConfigurableDistiller``.
    """
    recorders = {name: recorder for name, recorder in distiller.teacher_recorders.recorders.items()
                 if not isinstance(recorder, ParameterRecorder)}  # they are there before
    if distiller.deliveries.deliveries or not recorders or not all(
            isinstance(recorder, ModuleOutputsRecorder) for recorder in recorders.values()):
        return nullcontext()
    if any(index < 0 for _, index in read_of(distiller)):
        return nullcontext()  # who counts from behind waits for the end
    needed = dict(dict.fromkeys(recorders, 1), **calls_read(distiller))
    return stop_when([teacher.get_submodule(recorder.source) for recorder in recorders.values()],
                     lambda: all(len(recorder.data_buffer) >= needed[name]
                                 for name, recorder in recorders.items()))


def calls_read(distiller: Any) -> Dict[str, int]:
    """How many records the losses read of each of the teacher's recorders that they read."""
    needed: Dict[str, int] = {}
    for name, index in read_of(distiller):
        needed[name] = max(needed.get(name, 1), calls_of(index))
    return needed


def calls_of(index: int) -> int:
    """How many records there must be for one to have this ``record_idx``."""
    return index + 1 if index >= 0 else -index


def read_of(distiller: Any) -> List[Tuple[str, int]]:
    """Recorder and ``record_idx`` of what the losses read of the teacher."""
    return [(record['recorder'], record.get('record_idx', 0))
            for mapping in distiller.loss_forward_mappings.values()
            for record in mapping.values() if not record['from_student']]

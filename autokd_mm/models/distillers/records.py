"""What flows between networks and a ``ConfigurableDistiller``: its recorders' buffers.

MMRazor's recorders keep what a module returned. Three of their habits hurt and are mended here:
they keep the tensors after the step (so the model cannot be deep-copied), they cannot be filled
from anything but a running network, and a module that works in place behind the recorded one
changes the record without a word.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import torch

from mmrazor.models.task_modules import RecorderManager


def clear_records(distiller: Any) -> None:
    """Forget what all recorders hold."""
    for manager in (distiller.student_recorders, distiller.teacher_recorders):
        for recorder in manager.recorders.values():
            recorder.reset_data_buffer()


def feed_teacher(distiller: Any, records: Mapping[str, Any]) -> None:
    """Put ``records`` (by recorder name) where a running teacher would have put them.

    Raises:
        KeyError: a recorder of the distiller gets nothing.
    """
    for name, recorder in distiller.teacher_recorders.recorders.items():
        if name not in records:
            raise KeyError(f'no teacher output for recorder {name!r}; given: {sorted(records)}')
        recorder.reset_data_buffer()
        recorder.data_buffer.append(records[name])


def disable_inplace(model: torch.nn.Module) -> None:
    """Let activations write to new tensors, so that what is recorded before them stays.

    MMRazor's own attempt looks for ``OrderedDict`` and finds none on torch >= 2.
    """
    for module in model.modules():
        if getattr(module, 'inplace', False) is True:
            module.inplace = False  # type: ignore[assignment]


class RecordGuard:
    """Notices that a recorded tensor was changed in place after it was recorded.

    MMRazor turns ``inplace`` of activations off, but ``out += identity`` or ``F.relu_`` behind a
    recorded BatchNorm still overwrite the record, and the distiller then compares something else
    than its config says. Hooks on the recorded modules note each tensor's version counter.
    """

    def __init__(self, manager: RecorderManager) -> None:
        self._manager = manager
        self._versions: Dict[str, List[Tuple[torch.Tensor, int]]] = {}

    def watch(self, model: torch.nn.Module) -> 'RecordGuard':
        modules = dict(model.named_modules())
        for name, recorder in self._manager.recorders.items():
            module = modules.get(recorder.source)
            if module is not None:
                module.register_forward_hook(self._note(name, recorder))
        return self

    def _note(self, name: str, recorder: Any):

        def hook(module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
            if getattr(recorder, 'recording', False) and isinstance(outputs, torch.Tensor):
                self._versions.setdefault(name, []).append((outputs, outputs._version))

        return hook

    def check(self) -> None:
        """Raise ``RuntimeError`` if a record was overwritten; forget what was noted."""
        noted, self._versions = self._versions, {}
        for name, tensors in noted.items():
            if any(tensor._version != version for tensor, version in tensors):
                source = self._manager.recorders[name].source
                raise RuntimeError(
                    f'the output of {source!r} (recorder {name!r}) is overwritten in place by '
                    'what follows it; record the block around it instead')

"""What flows between networks and a ``ConfigurableDistiller``: its recorders' buffers.

MMRazor's recorders keep what a module returned. Three of their habits hurt and are mended here:
they keep the tensors after the step (so the model cannot be deep-copied), they cannot be filled
from anything but a running network, and a module that works in place behind the recorded one
changes the record without a word.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

import torch
from mmrazor.models.task_modules import RecorderManager

from autokd_mm.models.distillers.regions import forget_samples


def clear_records(distiller: Any) -> None:
    """Forget what all recorders hold, and the boxes that the losses were shown."""
    forget_samples(distiller)
    for delivery in distiller.deliveries.deliveries.values():
        delivery.data_queue.clear()
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


def bring_to_one_grid(distiller: Any,
                      resize: Callable[[torch.Tensor, Tuple[int, int]], torch.Tensor]) -> None:
    """Replace the teacher's maps by maps of the student's size.

    To be called between the student's forward pass and ``compute_distill_losses``.

    Args:
        resize: (N x C x h x w map of the teacher, (rows, columns) of the student's map with which a
            loss compares it) -> the map in that size.
    """
    sizes: Dict[Tuple[str, int, Any], Tuple[int, int]] = {}
    for mapping in distiller.loss_forward_mappings.values():
        maps = [tensor for tensor in (distiller.get_record(**_place(record))
                                      for record in mapping.values() if record['from_student'])
                if isinstance(tensor, torch.Tensor) and tensor.dim() == 4]
        for record in mapping.values():
            if maps and not record['from_student']:
                place = _place(record)
                key = (record['recorder'], place.get('record_idx', 0), place.get('data_idx'))
                sizes[key] = (maps[0].shape[-2], maps[0].shape[-1])
    for (name, call, index), size in sizes.items():
        buffer = distiller.teacher_recorders.recorders[name].data_buffer
        if index is None:
            buffer[call] = resize(buffer[call], size)
        else:
            buffer[call] = [resize(tensor, size) if at == index else tensor
                            for at, tensor in enumerate(buffer[call])]


def _place(record: Mapping[str, Any]) -> Dict[str, Any]:
    """Where a record lies in its recorder, without what a connector makes of it."""
    return {key: value for key, value in record.items() if not key.startswith('connector')}


def disable_inplace(model: torch.nn.Module) -> None:
    """Let activations write to new tensors, so that what is recorded before them stays.

    MMRazor's own attempt looks for ``OrderedDict`` and finds none on torch >= 2.
    """
    for module in model.modules():
        if getattr(module, 'inplace', False) is True:
            module.inplace = False  # type: ignore[assignment]


class RecordGuard:
    """Notices that a recorded tensor was changed in place after it was recorded.

    ``inplace`` of activations is off, but ``out += identity`` or ``F.relu_`` behind a recorded
    BatchNorm still overwrite the record, and the distiller then compares something else than its
    config says. Hooks on the recorded modules, behind the recorders' own, note each recorded
    tensor's version counter.
    """

    def __init__(self, manager: RecorderManager) -> None:
        self._manager = manager
        self._versions: Dict[str, List[Tuple[torch.Tensor, int]]] = {}

    def watch(self, model: torch.nn.Module) -> 'RecordGuard':
        modules = dict(model.named_modules())
        for name, recorder in self._manager.recorders.items():
            module = modules.get(recorder.source)
            if module is not None:
                module.register_forward_hook(_Note(self, name))
        return self

    def note(self, name: str) -> None:
        """Remember the versions of what the recorder has just been given."""
        recorder = self._manager.recorders[name]
        if getattr(recorder, 'recording', False) and recorder.data_buffer:
            self._versions.setdefault(name, []).extend(
                (tensor, tensor._version) for tensor in _tensors(recorder.data_buffer[-1]))

    def forget(self) -> None:
        """Let go of the tensors."""
        self._versions = {}

    def check(self) -> None:
        """Raise ``RuntimeError`` if a record was overwritten; forget what was noted."""
        noted, self._versions = self._versions, {}
        for name, tensors in noted.items():
            if any(tensor._version != version for tensor, version in tensors):
                source = self._manager.recorders[name].source
                raise RuntimeError(
                    f'the output of {source!r} (recorder {name!r}) is overwritten in place by '
                    'what follows it; record the block around it instead')


class _Note:
    """The hook. An object and not a closure, so that a copied model's leads to the copied guard."""

    def __init__(self, guard: RecordGuard, name: str) -> None:
        self.guard, self.name = guard, name

    def __call__(self, module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
        self.guard.note(self.name)


def _tensors(record: Any) -> List[torch.Tensor]:
    if isinstance(record, torch.Tensor):
        return [record]
    if isinstance(record, Mapping):
        record = list(record.values())
    if isinstance(record, (list, tuple)):
        return [tensor for item in record for tensor in _tensors(item)]
    return []

"""What flows between networks and a ``ConfigurableDistiller``: its recorders' buffers.

MMRazor's recorders keep what a module returned. Three of their habits hurt and are mended here:
they keep the tensors after the step (so the model cannot be deep-copied), they cannot be filled
from anything but a running network, and a module that works in place behind the recorded one
changes the record without a word.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import torch
from mmrazor.models.task_modules import RecorderManager

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.layout import Layout
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
                      resize: Callable[[torch.Tensor, Tuple[int, int]], torch.Tensor],
                      seen: Tuple[int, int] = (0, 0), batch: Tuple[int, int] = (0, 0)) -> None:
    """Replace the teacher's maps by those that it would give without another scale.

    To be called between the student's forward pass and ``compute_distill_losses``.

    Args:
        resize: (N x C x h x w map of the teacher, (rows, columns)) -> the map in that size.
        seen: (height, width) in pixels of the batch that the teacher has seen.
        batch: the same of the student. The teacher's map gets the size of the student's map with
            which a loss compares it, or, where their strides differ, as many cells as it has in
            this batch.
    """
    found: Dict[Tuple[str, int, Any], Tuple[Layout, Tuple[int, int]]] = {}
    for mapping in distiller.loss_forward_mappings.values():
        records = {bool(record['from_student']): record for record in mapping.values()}
        if len(records) < 2:
            continue
        layouts = {who: getattr(_connector(distiller, record), 'layout', Layout())
                   for who, record in records.items()}
        size = _cells(distiller, records, layouts, batch)
        if size is not None:
            place = _place(records[False])
            found[_counted(distiller, place)] = layouts[False], size
    for (name, call, index), (layout, size) in found.items():
        buffer = distiller.teacher_recorders.recorders[name].data_buffer
        record = buffer[call] if index is None else buffer[call][index]
        made = resize(layout.as_map(record, f'recorder {name!r}', seen), size)
        made = made.permute(0, 2, 3, 1) if layout.channels_last else made
        buffer[call] = made if index is None else [
            made if at == index else tensor for at, tensor in enumerate(buffer[call])]


def _counted(distiller: Any, place: Mapping[str, Any]) -> Tuple[str, int, Any]:
    """Recorder, record and entry of what a loss reads of the teacher, counted from the first."""
    buffer = distiller.teacher_recorders.recorders[place['recorder']].data_buffer
    call, index = place.get('record_idx', 0) % len(buffer), place.get('data_idx')
    return place['recorder'], call, index if index is None else index % len(buffer[call])


def _cells(distiller: Any, records: Mapping[bool, Mapping[str, Any]],
           layouts: Mapping[bool, Layout], batch: Tuple[int, int]) -> Optional[Tuple[int, int]]:
    """Rows and columns that the teacher's map would have without another scale; ``None`` where it
    is no map."""
    strides = {who: getattr(_connector(distiller, record), 'strides', None)
               for who, record in records.items()}
    # A connector knows its own map's stride, and then that of the map it is compared with.
    own = (strides[False] or (None, ))[0] or (strides[True] or (None, ))[-1]
    if own:
        return -(-batch[0] // own), -(-batch[1] // own)
    tensor = distiller.get_record(**_place(records[True]))
    if not isinstance(tensor, torch.Tensor):
        return None
    tensor = layouts[True].as_map(tensor, 'student', batch)
    return (tensor.shape[-2], tensor.shape[-1]) if tensor.dim() == 4 else None


def _connector(distiller: Any, record: Mapping[str, Any]) -> Any:
    name = record.get('connector')
    return None if name is None else distiller.connectors[name]


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

    Args:
        manager: of the recorders.
        who: ``'student'`` or ``'teacher'``, for the message.
    """

    def __init__(self, manager: RecorderManager, who: str) -> None:
        self._manager, self._who = manager, who
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
        """Forget what was noted.

        Raises:
            ConfigError: a record was overwritten.
        """
        noted, self._versions = self._versions, {}
        for name, tensors in noted.items():
            if any(tensor._version != version for tensor, version in tensors):
                source = self._manager.recorders[name].source
                raise ConfigError(
                    f'model.distiller.{self._who}_recorders.{name}.source: the output of '
                    f'{source!r} is overwritten in place by what follows it; record the block '
                    'around it instead')


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

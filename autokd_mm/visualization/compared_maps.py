"""The maps that a distiller compares, of one image."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

import torch
from mmrazor.models.task_modules import ParameterRecorder
from torch import Tensor

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors.conv_connector import resize
from autokd_mm.models.distillers import calls_of, recording, show_sizes


class ComparedMaps(NamedTuple):
    """What one loss compares, over the image without its padding.

    ``title``: of the loss and the layers. ``teacher``, ``student`` (behind its connector) and
    ``difference``: h x w, the mean over the channels of ``|T|``, ``|S|`` and ``|T - S|``, so the
    three are in the same unit.
    """
    title: str
    teacher: Tensor
    student: Tensor
    difference: Tensor


def compare(model: Any, data: Dict[str, Any]) -> List[ComparedMaps]:
    """Run both networks of a distillation on one image.

    Args:
        model: a :class:`~autokd_mm.models.algorithms.FrozenTeacherDistill`; it is put into
            evaluation mode.
        data: ``inputs`` and ``data_samples``, lists of one, as a test pipeline and the default
            collate function make them.

    Returns:
        One entry for each loss of the distiller, in its order. An output without positions, such
        as the logits of a classifier, is a map of one row with a column for each class.

    Raises:
        ConfigError: the distiller has no losses, or compares tensors that do not fit, or that are
            overwritten in place.
    """
    distiller = model.distiller
    if not distiller.loss_forward_mappings:
        raise ConfigError('model.distiller: it has no losses, so there is nothing to be seen; name '
                          'a config of configs/distill or the best_distiller.py of a search')
    model.eval()
    height, width = data['inputs'][0].shape[-2:]
    ready = model.data_preprocessor(data, False)
    inputs, samples = ready['inputs'], ready['data_samples']
    try:
        with torch.no_grad():
            # Prediction runs every head as often as training does, and wants no labels.
            model.run_teacher(inputs, samples, labels=False)  # it sees what it sees in training
            with recording(distiller, 'student'):
                model.architecture(inputs, samples, mode='predict')
            model.check_records()
            show_sizes(distiller, samples, inputs)
            model.unscale_teacher(inputs)
            share = height / inputs.shape[-2], width / inputs.shape[-1]
            return [_compared(distiller, name, mapping, share)
                    for name, mapping in distiller.loss_forward_mappings.items()]
    finally:
        model.forget_records()


def _compared(distiller: Any, loss: str, mapping: Dict[str, Dict[str, Any]],
              share: Tuple[float, float]) -> ComparedMaps:
    sides: Dict[str, Dict[str, Any]] = {}
    for item in mapping.values():
        who = 'student' if item['from_student'] else 'teacher'
        sides.setdefault(who, item)
    if len(sides) < 2:
        raise ConfigError(f'model.distiller.loss_forward_mappings.{loss}: it compares no tensor of '
                          'the student with one of the teacher')
    student, teacher = (_as_map(_recorded(distiller, sides[who], loss), loss)
                        for who in ('student', 'teacher'))
    student = resize(student, (teacher.shape[-2], teacher.shape[-1]))
    if student.shape != teacher.shape:
        raise ConfigError(f'model.distiller.loss_forward_mappings.{loss}: the student has '
                          f'{student.shape[1]} channels and the teacher {teacher.shape[1]}; a '
                          'connector must make them equal')
    maps = [(tensor.flatten(2).transpose(1, 2)[:, None] if tensor.shape[-2:] == (1, 1)
             else tensor) for tensor in (teacher, student, teacher - student)]
    if teacher.shape[-2:] != (1, 1):
        maps = [_without_padding(tensor, share) for tensor in maps]
    names = [_layer(distiller, sides[who]) for who in ('teacher', 'student')]
    return ComparedMaps(f'{loss}: {" | ".join(dict.fromkeys(names))}',
                        *[tensor[0].float().abs().mean(0).cpu() for tensor in maps])


def _recorded(distiller: Any, item: Dict[str, Any], loss: str) -> Any:
    managers = distiller.teacher_recorders, distiller.student_recorders
    recorder = managers[item['from_student']].recorders[item['recorder']]
    if isinstance(recorder, ParameterRecorder):
        raise ConfigError(f'model.distiller.loss_forward_mappings.{loss}: {recorder.source} is a '
                          'parameter, only maps and logits can be drawn')
    if len(recorder.data_buffer) < calls_of(item.get('record_idx', 0)):
        raise ConfigError(f'model.distiller.loss_forward_mappings.{loss}: {recorder.source!r} is '
                          'called in training alone, so nothing of it can be drawn')
    return distiller.get_record(**item)


def _as_map(record: Any, loss: str) -> Tensor:
    if isinstance(record, Tensor) and record.dim() == 2:
        return record[:, :, None, None]
    if isinstance(record, Tensor) and record.dim() == 4:
        return record
    what = (f'of shape {tuple(record.shape)}' if isinstance(record, Tensor)
            else f'a {type(record).__name__}')
    raise ConfigError(f'model.distiller.loss_forward_mappings.{loss}: only maps and logits can be '
                      f'drawn, this is {what}')


def _without_padding(tensor: Tensor, share: Tuple[float, float]) -> Tensor:
    """The cells of which some lies in the image; padding is to the right and below."""
    rows, columns = (max(1, -int(-side * part // 1))
                     for side, part in zip(tensor.shape[-2:], share))
    return tensor[..., :rows, :columns]


def _layer(distiller: Any, item: Dict[str, Any]) -> str:
    manager = distiller.student_recorders if item['from_student'] else distiller.teacher_recorders
    name = manager.recorders[item['recorder']].source
    for key in ('record_idx', 'data_idx'):
        if item.get(key) is not None and (key == 'data_idx' or item[key]):
            name += f'[{item[key]}]'
    return name

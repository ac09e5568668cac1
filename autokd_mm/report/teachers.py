"""Of several teachers those that a found distiller listens to, in its config."""
from __future__ import annotations

from typing import Any, List

from autokd_mm.models.distillers.teachers import heard_teachers
from autokd_mm.pairs.images import listed, several


def leave_out_unheard(config: Any) -> None:
    """Take the teachers to whom nobody listens out of a training's config, in place: they are
    neither loaded nor run. The others are numbered anew; one that is left is no list any more. The
    first is kept where the student starts with a part of it."""
    model = config.model
    if not several(model.get('teacher')):
        return
    teachers = listed(model.teacher)
    kept = set(heard_teachers(model.distiller, len(teachers)))
    if model.get('start'):
        kept.add(0)
    if not kept or len(kept) == len(teachers):
        return
    order = sorted(kept)
    for recorder in model.distiller.teacher_recorders.values():
        recorder.source = _renamed(recorder.source, order)
    for connector in (model.distiller.get('connectors') or {}).values():
        if 'modules' in connector:  # of a teacher that is heard
            connector.modules = [_renamed(name, order) for name in connector.modules]
    if len(order) == 1:
        model.teacher = teachers[order[0]]
    else:
        model.teacher.teachers = [teachers[number] for number in order]
        model.teacher.pop('mean_logits', None)  # it is of all
    for holder, key in ((model, 'teacher_ckpt'), (config, 'teacher_ckpt'),
                        (model, 'teacher_input')):
        if isinstance(holder.get(key), (list, tuple)):
            holder[key] = _of(holder[key], order)


def _renamed(source: str, order: List[int]) -> str:
    number, _, module = source.partition('.')
    return module if len(order) == 1 else f'{order.index(int(number))}.{module}'


def _of(values: Any, order: List[int]) -> Any:
    return values[order[0]] if len(order) == 1 else [values[number] for number in order]

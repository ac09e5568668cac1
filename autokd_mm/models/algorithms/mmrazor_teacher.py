"""The checkpoint of a teacher that MMRazor's own algorithms load."""
from __future__ import annotations

import re
from typing import Any, Mapping

from mmrazor.models.algorithms import SingleTeacherDistill

from autokd_mm.errors import CheckpointError
from autokd_mm.models.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from autokd_mm.models.algorithms.teacher import MATCH, read_checkpoint


def refuse_unreadable(config: Mapping[str, Any]) -> None:
    """Raises:
        CheckpointError: the ``teacher_ckpt`` of an algorithm is no checkpoint.
    """
    path = config.get('teacher_ckpt')
    if isinstance(path, str) and not str(config.get('type')).endswith('FrozenTeacherDistill'):
        read_checkpoint(path, 'model.teacher_ckpt')


def refuse_other_weights(model: Any, teacher_ckpt: Any) -> None:
    """MMRazor loads what fits by name and says in the log what does not: with a checkpoint of
    which nothing fits the student learns from a teacher of random weights.

    Args:
        model: as built; anything but an algorithm of MMRazor with one teacher passes, and so does
            ours, which reads more names and has looked.
        teacher_ckpt: of its config.

    Raises:
        CheckpointError: less than 95 % of the teacher's parameters (by number of values) are in
            it under their own names.
    """
    if not isinstance(model, SingleTeacherDistill) or isinstance(model, FrozenTeacherDistill) \
            or not isinstance(teacher_ckpt, str):
        return
    weights = {re.sub(r'^module\.', '', name): value for name, value in
               read_checkpoint(teacher_ckpt, 'model.teacher_ckpt').items()}  # as MMEngine's loader
    own = {name: value for name, value in model.teacher.state_dict().items()
           if value.is_floating_point()}
    fits = [value.numel() for name, value in own.items()
            if getattr(weights.get(name), 'shape', None) == value.shape]
    share = sum(fits) / max(sum(value.numel() for value in own.values()), 1)
    if share < MATCH:
        raise CheckpointError(
            f'model.teacher_ckpt: {teacher_ckpt} is of another network: {share:.0%} of the '
            f'parameters of {type(model.teacher).__name__} are in it by their names, {MATCH:.0%} '
            f'are needed (it begins with {next(iter(weights), "nothing")}); model.type='
            "'mmrazor.FrozenTeacherDistill' reads a distilled student's checkpoint, too")

"""Which tensors of the student are compared with which of the teacher."""
from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.layers.strides import Grid, pair_by_stride
from autokd_mm.layers.tensors import Found

# The coarsest level of a usual feature pyramid; sides that are a multiple show every stride.
COARSEST = 128
_BRANCHES = ('', '_logits')


def refuse_unequal(counts: Mapping[str, int], names: Mapping[str, Sequence[str]],
                   what: str) -> None:
    """Teacher and student must have as many layers (or tensors) to compare."""
    for suffix in _BRANCHES:
        student, teacher = (counts.get(f'{who}{suffix}', 0) for who in ('student', 'teacher'))
        if student != teacher:
            hint = ('each layer of the student is compared with the one at its place' if
                    what == 'names' else
                    "name those to compare, such as 'neck[0]' for the first level")
            shown = [', '.join(map(str, names[f'{who}{suffix}'])) for who in
                     ('student', 'teacher')]
            raise ConfigError(f'layers.teacher{suffix}: {teacher} {what} ({shown[1]}) and '
                              f'layers.student{suffix}: {student} {what} ({shown[0]}); {hint}')


def needs_strides(found: Mapping[str, Sequence[Found]]) -> bool:
    """Whether teacher and student have maps of unequal sizes, or another number of them."""
    return any([one.shape[1:] for one in found.get(f'student{suffix}', ())]
               != [one.shape[1:] for one in found.get(f'teacher{suffix}', ())]
               for suffix in _BRANCHES)


def matched(found: Dict[str, List[Found]], names: Mapping[str, Sequence[str]],
            say: Callable[[str], None], dense: bool) -> None:
    """Leave in ``found`` tensors that belong together, place by place.

    As many of both are compared in their order. Otherwise, and where images differ in size and so
    do the strides, of each two modules with several tensors those of equal stride are; a name that
    stands for one tensor is taken at its word.

    Args:
        names: of the layers, by key.
        say: told which are left out.
        dense: tensors are known by their strides, and not by their size in one image.

    Raises:
        ConfigError: nothing has an equal stride, or a name stands for one tensor and the other for
            several.
    """
    for suffix in _BRANCHES:
        keys = f'student{suffix}', f'teacher{suffix}'
        both = [found.get(key, []) for key in keys]
        if len(both[0]) == len(both[1]) and (
                not dense or _grids(both[0], dense) == _grids(both[1], dense)):
            continue
        groups = [_of_names([one for one in both[0] if one.place == place],
                            [one for one in both[1] if one.place == place], dense)
                  for place in range(len(names[keys[0]]))]
        if not all(groups):
            refuse_unequal({key: len(tensors) for key, tensors in found.items()}, names, 'tensors')
            continue
        pairs = [pair for group in groups for pair in group]
        for key, kept in zip(keys, zip(*pairs)):
            left = [one.source for one in found[key] if one not in kept]
            if left:
                say(f'layers.{key}: {", ".join(left)} left out, nothing of the other network has '
                    'an equal stride')
            found[key] = list(kept)


def _of_names(student: Sequence[Found], teacher: Sequence[Found],
              dense: bool) -> List[Tuple[Found, Found]]:
    several = not any(one.alone for one in (*student, *teacher))
    pairs = [(student[here], teacher[there]) for here, there in
             pair_by_stride(_grids(student, dense), _grids(teacher, dense))] if several else []
    if len(student) == len(teacher) and not (dense and pairs):
        return list(zip(student, teacher))
    return pairs


def _grids(tensors: Sequence[Found], dense: bool) -> List[Grid]:
    return [one.stride if dense and one.stride else one.shape[1:] for one in tensors]


def unequal_strides(student: Found, teacher: Found) -> Optional[Tuple[int, int]]:
    """Both, where they are known and differ."""
    if student.stride is None or teacher.stride is None or student.stride == teacher.stride:
        return None
    return student.stride, teacher.stride

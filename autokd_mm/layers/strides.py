"""Which tensors of two networks belong together: those of equal stride."""
from __future__ import annotations

from typing import List, Sequence, Tuple, Union

Grid = Union[int, float, Tuple[int, int]]


def pair_by_stride(student: Sequence[Grid], teacher: Sequence[Grid]) -> List[Tuple[int, int]]:
    """Places of the tensors with an equal stride, (of the student, of the teacher).

    Where several have the same stride, the first of one belongs to the first of the other, and so
    on. In the order of the student's.

    Args:
        student, teacher: the strides, or (rows, columns) of the maps of one image.
    """
    pairs: List[Tuple[int, int]] = []
    free = list(range(len(teacher)))
    for place, grid in enumerate(student):
        found = next((at for at in free if teacher[at] == grid), None)
        if found is not None:
            pairs.append((place, found))
            free.remove(found)
    return pairs

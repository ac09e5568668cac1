"""Maps of two levels for the losses of dense heads, and their anchors one by one."""
import torch
from torch import Tensor

from autokd_mm.models.transforms.padding import BatchSizes

LEVELS = ((4, 5), (2, 3))
# The first image fills the batch; of the second 10 x 17 pixels of 16 x 20 at strides 4 and 8.
SIZES = BatchSizes(((16, 20), (10, 17)), (16, 20))
CELLS = (((4, 5), (3, 5)), ((2, 3), (2, 3)))


def maps(anchors=2, classes=3, numbers=4, quality=1, seed=0, dtype=torch.float64):
    """By keyword, as a loss is given them."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for who in ('student', 'teacher'):
        for what, width in (('classes', classes), ('boxes', numbers), ('quality', quality)):
            for level, (rows, columns) in enumerate(LEVELS):
                found[f'{who}_{what}_{level}'] = torch.randn(
                    2, anchors * width, rows, columns, generator=generator, dtype=dtype)
    return found


def anchors_of(found, width, what, padded=False):
    """(student's numbers, teacher's numbers, key) of each anchor in an image; what it is of is
    (image, level, row, column, anchor)."""
    for level, (rows, columns) in enumerate(LEVELS):
        student, teacher = (found[f'{who}_{what}_{level}'] for who in ('student', 'teacher'))
        for image in range(2):
            limit = CELLS[level][image] if padded else (rows, columns)
            for row in range(limit[0]):
                for column in range(limit[1]):
                    for anchor in range(student.shape[1] // width):
                        part = slice(anchor * width, (anchor + 1) * width)
                        yield (student[image, part, row, column],
                               teacher[image, part, row, column],
                               (image, level, row, column, anchor))


def at(found: dict, who: str, what: str, width: int, key: tuple) -> Tensor:
    image, level, row, column, anchor = key
    return found[f'{who}_{what}_{level}'][image, anchor * width:(anchor + 1) * width, row, column]

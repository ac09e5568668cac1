"""Teacher, student and their difference beside the image, in one picture."""
from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from mmengine.visualization import Visualizer
from torch import Tensor
from torch.nn import functional as F

from autokd_mm.visualization.compared_maps import ComparedMaps

_PANEL = 224  # pixels of a panel's longer side
_GAP, _TITLE = 8, 30
_COLUMNS = ('image', 'teacher', 'student', 'difference')


def draw(image: np.ndarray, rows: Sequence[ComparedMaps], note: str = '') -> np.ndarray:
    """A row of four panels for each entry of ``rows``.

    The three maps of a row share one scale of colours, from the smallest value among them to the
    largest, which its title gives; cells are drawn as they are, without smoothing.

    Args:
        image: H x W x 3, uint8, RGB.
        note: a line below the picture.

    Returns:
        The picture, uint8, RGB.
    """
    scale = _PANEL / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    shown = F.interpolate(torch.from_numpy(image).permute(2, 0, 1)[None].float(), (height, width))
    panel = shown[0].permute(1, 2, 0).numpy().astype(np.uint8)
    texts, places = [], []
    canvas = np.full((len(rows) * (height + _TITLE) + (_TITLE if note else _GAP),
                      4 * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        top = number * (height + _TITLE) + _TITLE
        for column, one in enumerate([panel, *_heat(row, height, width)]):
            left = _GAP + column * (width + _GAP)
            canvas[top:top + height, left:left + width] = one
        low, high = _range(row)
        texts.append(f'{row.title}   ({low:.3g} to {high:.3g}):   ' + ', '.join(_COLUMNS))
        places.append((_GAP, top - _TITLE // 2))
    if note:
        texts.append(note)
        places.append((_GAP, canvas.shape[0] - _TITLE // 2))
    visualizer = Visualizer(image=canvas)
    visualizer.draw_texts(texts, np.array(places), font_sizes=10, colors='k',
                          vertical_alignments='center')
    return visualizer.get_image()


def _heat(row: ComparedMaps, height: int, width: int) -> Sequence[np.ndarray]:
    """Three height x width x 3 pictures of the maps, coloured together."""
    maps = [_enlarged(one, height, width) for one in (row.teacher, row.student, row.difference)]
    heat = Visualizer.draw_featmap(torch.cat(maps, 1)[None])
    return np.split(heat, 3, axis=1)


def _enlarged(one: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(one[None, None], (height, width))[0, 0]  # nearest


def _range(row: ComparedMaps) -> Sequence[float]:
    both = torch.cat([one.flatten() for one in row[1:]])
    return float(both.min()), float(both.max())

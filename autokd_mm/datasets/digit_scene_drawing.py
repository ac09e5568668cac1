"""One digit scene: scanned digits on a textured background, with boxes and a label map.

Every number comes from NumPy's frozen ``RandomState`` and from sums and products of single
elements: no trigonometry, no matrix product and no image library, whose results differ by version
and by processor. So the same seed is the same pixels everywhere.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np

BACKGROUND = 0  # of the label map; digit d is d + 1
DIGITS = (3, 8)  # fewest and most of a scene
_SIDE = (0.24, 0.42)  # height of a digit by the scene's
_INK = 0.4  # from which share of ink on a pixel belongs to the digit
_HIDDEN = 0.25  # the share of a digit that others may cover
_OCTAVES = ((3, 1.0), (7, 0.6), (17, 0.35), (41, 0.2))  # cells per side of the texture, weight


class Scene(NamedTuple):
    """A scene of S x S pixels.

    ``image``: S x S x 3, uint8. ``labels``: S x S, uint8, 0 is background and digit d is d + 1.
    ``digits``: one of 0 to 9 for each instance. ``boxes``: x, y, width, height in pixels of what
    can be seen of it. ``areas``: its visible pixels. ``masks``: S x S, bool, where it is seen.
    """
    image: np.ndarray
    labels: np.ndarray
    digits: List[int]
    boxes: List[Tuple[int, int, int, int]]
    areas: List[int]
    masks: List[np.ndarray]


def draw_scene(scans: Sequence[np.ndarray], digits: Sequence[int], size: int,
               random: np.random.RandomState) -> Scene:
    """A scene with some of ``scans``.

    Args:
        scans: 8 x 8 maps of ink in [0, 1].
        digits: which digit each of them is.
        size: of the scene's sides in pixels, at least 48.
    """
    image = _texture(size, random)
    owner = np.full((size, size), -1)  # the instance that is seen there
    chosen: List[int] = []
    full: List[int] = []  # pixels of each instance before others covered it
    wanted = random.randint(DIGITS[0], DIGITS[1] + 1)
    while len(chosen) < wanted:
        which = int(random.randint(len(scans)))
        ink = _enlarged(scans[which], size, random)
        top, left = (int(random.randint(size - side + 1)) for side in ink.shape)
        place = slice(top, top + ink.shape[0]), slice(left, left + ink.shape[1])
        mask = ink > _INK
        after = np.where(mask, len(chosen), owner[place])
        lost = np.bincount(owner[place][mask] + 1, minlength=len(chosen) + 1)[1:]
        seen = np.bincount(owner.ravel() + 1, minlength=len(chosen) + 1)[1:] - lost
        if (seen < (1 - _HIDDEN) * np.asarray(full)).any():
            continue
        owner[place] = after
        chosen.append(which)
        full.append(int(mask.sum()))
        _write(image, place, ink, random)
    labels = np.full((size, size), BACKGROUND, np.uint8)
    boxes, areas, masks = [], [], []
    for instance, which in enumerate(chosen):
        mask = owner == instance
        labels[mask] = digits[which] + 1
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append((int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)))
        areas.append(int(mask.sum()))
        masks.append(mask)
    return Scene(np.rint(image).astype(np.uint8), labels, [int(digits[i]) for i in chosen], boxes,
                 areas, masks)


def _texture(size: int, random: np.random.RandomState) -> np.ndarray:
    """S x S x 3 noise of several octaves around a random colour, within [0, 255]."""
    cells = (np.arange(size) + 0.5) / size
    noise = np.zeros((size, size, 3))
    for count, weight in _OCTAVES:
        # The channels share most of it, so that the texture is of one material.
        grid = random.random_sample((count + 1, count + 1, 1)) - 0.5
        grid = grid + 0.5 * (random.random_sample((count + 1, count + 1, 3)) - 0.5)
        noise += weight * _sample(grid, cells[:, None] * count, cells[None, :] * count)
    colour = 30 + 90 * random.random_sample(3)
    return np.clip(colour + (30 + 50 * random.random_sample()) * noise, 0, 255)


def _enlarged(scan: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """Ink of one digit, stretched and sheared by chance, cut to where there is any."""
    height = size * (_SIDE[0] + (_SIDE[1] - _SIDE[0]) * random.random_sample())
    width = height * (0.65 + 0.4 * random.random_sample())
    shear = 0.5 * (random.random_sample() - 0.5)
    rows, columns = int(height), int(width + abs(shear) * height) + 1
    y = (np.arange(rows)[:, None] + 0.5) * (scan.shape[0] / height)
    x = np.arange(columns)[None, :] + 0.5 - (columns - width) / 2
    x = (x - shear * (np.arange(rows)[:, None] - rows / 2)) * (scan.shape[1] / width)
    padded = np.pad(scan, 1)[..., None]  # pixel i of the scan has its centre at i + 0.5
    ink = _sample(padded, np.clip(y + 0.5, 0, 9), np.clip(x + 0.5, 0, 9))[..., 0]
    mask = ink > _INK
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return ink[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]


def _write(image: np.ndarray, place: Tuple[slice, slice], ink: np.ndarray,
           random: np.random.RandomState) -> None:
    """Blend a digit into the image, brighter than what lies under it."""
    under = image[place].reshape(-1, 3).sum(0) / ink.size
    colour = under + 80 + 60 * random.random_sample() + 40 * (random.random_sample(3) - 0.5)
    alpha = np.clip(1.6 * ink - 0.2, 0, 1)[..., None]
    image[place] = np.clip(image[place] * (1 - alpha) + colour * alpha, 0, 255)


def _sample(grid: np.ndarray, y: Any, x: Any) -> np.ndarray:
    """Bilinear values of a grid (R x C x K) at rows ``y`` and columns ``x``, which broadcast."""
    y, x = np.broadcast_arrays(y, x)
    top = np.clip(np.floor(y).astype(int), 0, grid.shape[0] - 2)
    left = np.clip(np.floor(x).astype(int), 0, grid.shape[1] - 2)
    down, right = (y - top)[..., None], (x - left)[..., None]
    above = grid[top, left] * (1 - right) + grid[top, left + 1] * right
    below = grid[top + 1, left] * (1 - right) + grid[top + 1, left + 1] * right
    return above * (1 - down) + below * down

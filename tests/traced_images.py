"""Images that carry their number in their pixels, so that every pixel can be traced to its file."""
import json
import os
from itertools import combinations

import numpy as np

COUNT, SIDE = 24, 16
# Colours of the files; the last one is what transforms fill up with.
COLOURS = np.concatenate([np.random.default_rng(3).integers(8, 248, (COUNT, 3)), [[114] * 3]])
_PAIRS = np.array([(a, b) for a, b in combinations(range(COUNT + 1), 2)])
_MIXED = COLOURS[_PAIRS].mean(1)


def write(root, count=COUNT):
    """``images/00.png`` and so on, ``train.json`` with a box in each, and two class folders."""
    import cv2
    (root / 'images').mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        pixels = np.empty((SIDE, SIDE, 3), np.uint8)
        pixels[:] = COLOURS[number]
        name = f'{number:02d}.png'
        cv2.imwrite(str(root / 'images' / name), pixels)
        folder = root / 'classes' / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), pixels)
        images.append(dict(id=number + 1, file_name=name, height=SIDE, width=SIDE))
        annotations.append(dict(id=number + 1, image_id=number + 1, bbox=[2, 2, 12, 12], area=144,
                                category_id=1 + (number % 6 == 0), iscrowd=0))
    write_json(root, images, annotations)
    return images, annotations


def write_json(root, images, annotations, name='train.json'):
    (root / name).write_text(json.dumps(dict(
        images=images, annotations=annotations,
        categories=[dict(id=1, name='often'), dict(id=2, name='seldom')])))


def write_twice(root, images, annotations):
    """``twice.json``: some files under another path, a link, a hard link or a second time."""
    more = []
    for number, name in enumerate(['./00.png', '../images/01.png', 'link.png', 'hard.png',
                                   '04.png']):
        more.append(dict(images[number], id=100 + number, file_name=name))
    os.symlink('02.png', str(root / 'images' / 'link.png'))
    os.link(str(root / 'images' / '03.png'), str(root / 'images' / 'hard.png'))
    boxes = [dict(annotations[number], id=100 + number, image_id=100 + number)
             for number in range(5)]
    write_json(root, images + more, annotations + boxes, 'twice.json')


def files_in(pixels):
    """Numbers of the files of which a C x H x W image is made.

    Raises:
        AssertionError: a colour that no file and no two files together have.
    """
    found = set()
    for colour in np.unique(pixels.reshape(3, -1).T, axis=0):
        exact = np.flatnonzero((COLOURS == colour).all(1))
        if len(exact):
            found.update(exact.tolist())
            continue
        pairs = _PAIRS[(np.abs(_MIXED - colour) <= 1).all(1)]
        assert len(pairs) == 1, f'colour {colour} is of no file'
        found.update(pairs[0].tolist())
    return found - {COUNT}

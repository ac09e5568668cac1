"""Scenes of real scanned digits as files in COCO's and in Cityscapes' layout; no download.

Both layouts are in one folder and show the same scenes::

    annotations/instances_{train,val}.json      images/{train,val}/000000.png
    leftImg8bit/{train,val}/digits/digits_000000_leftImg8bit.png
    gtFine/{train,val}/digits/digits_000000_gtFine_labelTrainIds.png
"""
from __future__ import annotations

import glob
import json
import os
import shutil
from typing import Any, Dict, List, Tuple

import numpy as np

from autokd_mm.bank.files import claim, door, filled, write_file
from autokd_mm.datasets.digit_scene_drawing import Scene, draw_scene
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.whole_file import replacing

SPLITS = ('train', 'val')
CLASSES = tuple('0123456789')
PALETTE = [(230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
           (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (0, 128, 128)]
TRAIN = 400  # scenes, where nobody says how many
_CITY = 'digits'


def ensure_scenes(root: str, **settings: Any) -> None:
    """Write the scenes to ``root`` unless they are there; arguments of :func:`write_scenes`.

    Of several processes one writes and the others wait. ``root`` is there with all its files or
    not at all.

    Raises:
        DataError: ``root`` holds something else, or cannot be written.
    """
    if _there(root):
        return
    try:
        os.makedirs(os.path.dirname(os.path.abspath(root)), exist_ok=True)
        with claim(door(root)):
            if _there(root):
                return
            if filled(root) or os.path.isfile(root):
                raise DataError(f'data_root: {root} holds no digit scenes but something else; '
                                'name a folder that is empty or not there')
            place = os.path.normpath(root)
            for left in glob.glob(f'{glob.escape(place)}.unfinished-*') + [f'{place}.unfinished']:
                shutil.rmtree(left, ignore_errors=True)  # of a killed process
            with replacing(place) as unfinished:
                write_scenes(unfinished, **settings)
    except OSError as error:
        raise DataError(f'data_root: the digit scenes cannot be written to {root} '
                        f'({error.strerror})') from None


def write_scenes(root: str, train: int = TRAIN, val: int = 100, size: int = 128,
                 seed: int = 0, masks: bool = False) -> None:
    """Draw and write all scenes; the same for the same arguments.

    Args:
        root: folder.
        train, val: number of scenes. Those of ``train`` are drawn with the first half of the
            scans of each digit in scikit-learn's file, those of ``val`` with the second; the file
            goes from writer to writer, so these are digits of other people.
        size: of their sides in pixels.
        seed: of everything that is drawn by chance.
        masks: annotate the outline of each digit, too (COCO's ``segmentation``: polygons).

    Raises:
        ConfigError: a number out of range.
    """
    for name, value, least in (('train', train, 1), ('val', val, 1), ('size', size, 48),
                               ('seed', seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f'digit scenes: {name}={value!r} must be a whole number, at least '
                              f'{least}')
    for split, count in zip(SPLITS, (train, val)):
        scans, digits = _scans(split)
        scenes = []
        for number in range(count):
            # A scene does not depend on how many there are before it.
            random = np.random.RandomState([seed, SPLITS.index(split), number])
            scene = draw_scene(scans, digits, size, random)
            _write_images(root, split, number, scene)
            scenes.append(scene)
        os.makedirs(os.path.dirname(_annotations(root, split)), exist_ok=True)
        write_file(_annotations(root, split),
                   json.dumps(_coco(scenes, size, masks), sort_keys=True).encode())


def _there(root: str) -> bool:
    return all(os.path.isfile(_annotations(root, split)) for split in SPLITS)


def _annotations(root: str, split: str) -> str:
    return os.path.join(root, 'annotations', f'instances_{split}.json')


def _scans(split: str) -> Tuple[List[np.ndarray], List[int]]:
    """8 x 8 maps of ink in [0, 1] and the digit of each."""
    from sklearn.datasets import load_digits  # slow to import, needed here only

    data = load_digits()
    half = np.bincount(data.target) // 2
    seen = dict.fromkeys(range(10), 0)
    scans, digits = [], []
    for image, digit in zip(data.images, data.target.tolist()):
        if (seen[digit] < half[digit]) == (split == 'train'):
            scans.append(image / 16)
            digits.append(digit)
        seen[digit] += 1
    return scans, digits


def _write_images(root: str, split: str, number: int, scene: Scene) -> None:
    import cv2

    city = os.path.join(split, _CITY, f'{_CITY}_{number:06d}_')
    image = cv2.imencode('.png', scene.image)[1].tobytes()
    labels = cv2.imencode('.png', scene.labels)[1].tobytes()
    for path, content in ((f'images/{split}/{number:06d}.png', image),
                          (f'leftImg8bit/{city}leftImg8bit.png', image),
                          (f'gtFine/{city}gtFine_labelTrainIds.png', labels)):
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:  # the folder around it is renamed when it is complete
            file.write(content)


def _outline(mask: np.ndarray) -> List[List[float]]:
    """Polygons, x and y in turn, around the parts of a mask; holes count as inside, as in COCO."""
    import cv2

    # Twice as large, so that an outline runs along the outer sides of the pixels.
    large = np.kron(mask, np.ones((2, 2), np.uint8)).astype(np.uint8)
    parts = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    return [((part.reshape(-1) + 0.5) / 2).tolist() for part in parts if len(part) > 2]


def _coco(scenes: List[Scene], size: int, masks: bool = False) -> Dict[str, Any]:
    annotations = [
        dict(image_id=number, category_id=digit + 1, bbox=list(box), area=area, iscrowd=0,
             **(dict(segmentation=_outline(mask)) if masks else {}))
        for number, scene in enumerate(scenes)
        for digit, box, area, mask in zip(scene.digits, scene.boxes, scene.areas, scene.masks)]
    for identity, annotation in enumerate(annotations, 1):
        annotation['id'] = identity
    return dict(
        info=dict(description='digit scenes from the scans of UCI optdigits'),
        images=[dict(id=number, file_name=f'{number:06d}.png', width=size, height=size)
                for number in range(len(scenes))],
        categories=[dict(id=digit + 1, name=name) for digit, name in enumerate(CLASSES)],
        annotations=annotations)

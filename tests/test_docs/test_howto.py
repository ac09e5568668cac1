"""The pages about your own data: their configs and commands go through as they are printed."""
import shutil

import numpy as np
import pytest
from printed_pages import ROOT, follow, steps

from autokd_mm.safe_load import load_weights

HOWTO = ROOT / 'docs' / 'howto'


def write_classes(folder):
    """A few digits as a folder of classes."""
    import cv2
    from sklearn.datasets import load_digits
    digits = load_digits()
    for number in range(48):
        part = 'train' if number < 32 else 'val'
        place = folder / part / str(digits.target[number])
        place.mkdir(parents=True, exist_ok=True)
        image = (digits.images[number] * 15).astype(np.uint8)
        cv2.imwrite(str(place / f'{number}.png'), cv2.resize(image, (32, 32)))
    for part in ('train', 'val'):  # a class without an image is a class, too
        for name in map(str, range(10)):
            (folder / part / name).mkdir(exist_ok=True)


def write_boxes(folder):
    from autokd_mm.datasets.digit_scenes import write_scenes
    write_scenes(str(folder), train=8, val=4, size=64)


def write_masks(folder):
    scenes = folder.parent / 'scenes'
    write_boxes(scenes)
    for part in ('train', 'val'):
        for kind, end in (('images', 'leftImg8bit'), ('masks', 'gtFine_labelTrainIds')):
            place = folder / kind / part
            place.mkdir(parents=True)
            for path in scenes.rglob(f'{part}/**/*_{end}.png'):
                shutil.copy(str(path), str(place / path.name.replace(f'_{end}', '')))


@pytest.mark.timeout(300)
@pytest.mark.parametrize('page, folder, write, metric', [
    ('folder', 'my_classes', write_classes, 'accuracy/top1'),
    ('coco', 'my_boxes', write_boxes, 'Epoch(test)'),  # it finds nothing yet, so there is no mAP
    ('masks', 'my_masks', write_masks, 'mIoU')])
def test_a_page_goes_through_as_printed(page, folder, write, metric, tool, tmp_path, monkeypatch):
    write(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    said = follow((HOWTO / f'{page}.md').read_text(encoding='utf-8'), tool)
    trained, pair, dry, search, distilled, tested, exported = said
    assert 'features: ' in pair and 'distillers' in dry and metric in tested
    assert 'train with it' in search and 'Traceback' not in ''.join(said)
    weights = load_weights('student.pth')
    names = weights.get('state_dict', weights)
    assert names and not any(name.startswith(('distiller', 'teacher', 'architecture'))
                             for name in names)


def test_every_howto_is_tried():
    pages = {path.stem for path in HOWTO.glob('*.md') if any(steps(path.read_text()))}
    assert pages == {'folder', 'coco', 'masks'}

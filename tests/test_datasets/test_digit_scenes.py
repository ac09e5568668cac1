import hashlib
import json
import multiprocessing

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope

from autokd_mm.datasets import DigitScenesCityscapes, DigitScenesCoco, digit_scenes
from autokd_mm.datasets.digit_scene_drawing import DIGITS
from autokd_mm.datasets.digit_scenes import ensure_scenes, write_scenes
from autokd_mm.errors import ConfigError, DataError

# Of decoded pixels and annotations, so that it does not depend on how a library writes PNG.
DIGEST = '3315a21287af38de1b5d57e8f1e820f0'


def digest(folder):
    result = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob('*.*')):
        result.update(str(path.relative_to(folder)).encode())
        if path.suffix == '.png':
            result.update(np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
        else:
            result.update(json.dumps(json.loads(path.read_text()), sort_keys=True).encode())
    return result.hexdigest()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'scenes'
    ensure_scenes(str(root), train=12, val=6, size=64)
    return root


@pytest.fixture
def small(monkeypatch):
    """What a data set writes on its own, smaller."""
    def write(root, **settings):
        write_scenes(root, **dict(dict(train=3, val=2, size=48), **settings))
    monkeypatch.setattr(digit_scenes, 'write_scenes', write)


def coco(root, split, **kwargs):
    return DigitScenesCoco(data_root=str(root), ann_file=f'annotations/instances_{split}.json',
                           data_prefix=dict(img=f'images/{split}/'), **kwargs)


def cityscapes(root, split, **kwargs):
    return DigitScenesCityscapes(data_root=str(root), data_prefix=dict(
        img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'), **kwargs)


def test_the_same_everywhere(scenes, tmp_path):
    assert digest(scenes) == DIGEST
    write_scenes(str(tmp_path / 'fewer'), train=2, val=1, size=64)
    for image in (tmp_path / 'fewer').rglob('*.png'):
        there = scenes / image.relative_to(tmp_path / 'fewer')
        assert np.array_equal(cv2.imread(str(image)), cv2.imread(str(there)))
    write_scenes(str(tmp_path / 'other'), train=2, val=1, size=64, seed=1)
    assert digest(tmp_path / 'other') != digest(tmp_path / 'fewer')


def test_train_and_val_are_scans_of_different_people():
    from sklearn.datasets import load_digits
    parts = {split: digit_scenes._scans(split) for split in ('train', 'val')}
    flat = {split: {scan.tobytes() for scan in scans} for split, (scans, _) in parts.items()}
    assert len(flat['train']) + len(flat['val']) == 1797 and not flat['train'] & flat['val']
    for _, digits in parts.values():
        counts = np.bincount(digits)
        assert len(counts) == 10 and counts.min() >= 87 and counts.max() <= 92
    first = load_digits()
    assert np.array_equal(parts['train'][0][0] * 16, first.images[0])


def test_boxes_and_label_maps_agree(scenes):
    for split, count in (('train', 12), ('val', 6)):
        boxes = coco(scenes, split, test_mode=True)
        maps = cityscapes(scenes, split, test_mode=True)
        assert len(boxes) == len(maps) == count
        found = set()
        for index in range(count):
            info = boxes.get_data_info(index)
            labels = cv2.imread(maps.get_data_info(index)['seg_map_path'], cv2.IMREAD_UNCHANGED)
            assert np.array_equal(cv2.imread(info['img_path']),
                                  cv2.imread(maps.get_data_info(index)['img_path']))
            assert DIGITS[0] <= len(info['instances']) <= DIGITS[1]
            inside = np.zeros(labels.shape, bool)
            for instance in info['instances']:
                left, top, right, bottom = (int(value) for value in instance['bbox'])
                assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64
                inside[top:bottom, left:right] = True
                part = labels[top:bottom, left:right]
                assert (part == instance['bbox_label'] + 1).any()
            assert not labels[~inside].any()
            assert set(np.unique(labels)) - {0} == {
                instance['bbox_label'] + 1 for instance in info['instances']}
            found |= {instance['bbox_label'] for instance in info['instances']}
        assert len(found) >= 8


def test_outlines(tmp_path, scenes):
    masks = pytest.importorskip('pycocotools.mask')
    write_scenes(str(tmp_path / 'masks'), train=12, val=1, size=64, masks=True)
    found, plain = (json.loads((folder / 'annotations/instances_train.json').read_text())
                    for folder in (tmp_path / 'masks', scenes))
    for item, without in zip(found['annotations'], plain['annotations']):
        inside = masks.decode(masks.merge(masks.frPyObjects(item.pop('segmentation'), 64, 64)))
        assert item == without
        # Holes count as inside, and some edge pixels of a sloping outline do.
        assert item['area'] <= inside.sum() + 2 <= 2 * item['area']
        left, top, width, height = item['bbox']
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert abs(np.array([columns[0], rows[0], columns[-1] - columns[0] + 1,
                             rows[-1] - rows[0] + 1]) - item['bbox']).max() <= 1
        labels = cv2.imread(str(scenes / 'gtFine/train/digits' / (
            f'digits_{item["image_id"]:06d}_gtFine_labelTrainIds.png')), cv2.IMREAD_UNCHANGED)
        own = labels[top:top + height, left:left + width] == item['category_id']
        assert (inside[top:top + height, left:left + width].astype(bool) & own).sum() >= (
            0.9 * item['area'])


def test_sizes_and_overlaps_vary(scenes):
    annotations = json.loads((scenes / 'annotations/instances_train.json').read_text())
    boxes = np.array([item['bbox'] for item in annotations['annotations']], float)
    assert boxes[:, 3].max() > 1.7 * boxes[:, 3].min()
    per_image = np.bincount([item['image_id'] for item in annotations['annotations']])
    assert len(set(per_image)) > 2
    areas = np.array([item['area'] for item in annotations['annotations']])
    assert (areas <= boxes[:, 2] * boxes[:, 3]).all() and areas.min() > 0
    overlapping = 0
    for image in range(12):
        own = boxes[[item['image_id'] == image for item in annotations['annotations']]]
        for one in range(len(own)):
            for two in range(one):
                left, top = np.maximum(own[one, :2], own[two, :2])
                right, bottom = np.minimum(own[one, :2] + own[one, 2:],
                                           own[two, :2] + own[two, 2:])
                overlapping += right > left and bottom > top
    assert overlapping > 5


def test_pipelines_of_mmdet_and_mmseg(scenes):
    pytest.importorskip('mmdet')
    with DefaultScope.overwrite_default_scope('mmdet'):
        sample = coco(scenes, 'train', pipeline=[
            dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs')])[0]
    assert sample['inputs'].shape == (3, 64, 64)
    assert len(sample['data_samples'].gt_instances.labels) >= DIGITS[0]
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = cityscapes(scenes, 'train')
        dataset.pipeline = Compose([TRANSFORMS.build(step) for step in (
            dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'))])
        sample = dataset[0]
    labels = sample['data_samples'].gt_sem_seg.data
    assert labels.shape == (1, 64, 64) and labels.max() <= 10
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11


def test_a_data_set_writes_what_is_not_there(small, tmp_path):
    root = tmp_path / 'new' / 'scenes'
    assert len(coco(root, 'val', test_mode=True)) == 2
    written = (root / 'annotations/instances_val.json').stat().st_mtime_ns
    assert len(cityscapes(str(root) + '/', 'train')) == 3
    assert (root / 'annotations/instances_val.json').stat().st_mtime_ns == written
    assert not list((tmp_path / 'new').glob('*unfinished*'))


def test_what_a_killed_writer_left_is_no_obstacle(small, tmp_path):
    for name in ('scenes.unfinished', 'scenes.unfinished-1'):
        (tmp_path / name / 'images').mkdir(parents=True)
    (tmp_path / 'scenes').mkdir()
    ensure_scenes(str(tmp_path / 'scenes'))
    assert (tmp_path / 'scenes/annotations/instances_train.json').is_file()
    assert list(tmp_path.glob('scenes.*')) == []


def test_nothing_is_there_after_a_failure(small, monkeypatch, tmp_path):
    def fail(*args):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(digit_scenes, '_write_images', fail)
    with pytest.raises(DataError, match='data_root: .*No space left'):
        ensure_scenes(str(tmp_path / 'scenes'))
    assert list(tmp_path.glob('scenes*')) == []


def test_another_folder_is_left_alone(small, tmp_path):
    (tmp_path / 'photo.jpg').write_text('mine')
    for place in (tmp_path, tmp_path / 'photo.jpg', tmp_path / 'photo.jpg' / 'below'):
        with pytest.raises(DataError, match='data_root: '):
            ensure_scenes(str(place))
    assert (tmp_path / 'photo.jpg').read_text() == 'mine'


@pytest.mark.parametrize('name, value', [('train', 0), ('val', -1), ('size', 20), ('seed', 1.5)])
def test_numbers_out_of_range(tmp_path, name, value):
    with pytest.raises(ConfigError, match=f'{name}='):
        write_scenes(str(tmp_path / 'scenes'), **{name: value})


def test_of_two_processes_one_writes(monkeypatch, tmp_path):
    processes = multiprocessing.get_context('fork')
    both_are_here = processes.Barrier(2, timeout=60)

    def write(root, **settings):
        with open(str(tmp_path / 'wrote'), 'a') as file:
            file.write('once ')
        write_scenes(root, train=4, val=2, size=48)

    def run():
        both_are_here.wait()
        ensure_scenes(str(tmp_path / 'scenes'))
        assert len(list((tmp_path / 'scenes' / 'images' / 'train').iterdir())) == 4

    monkeypatch.setattr(digit_scenes, 'write_scenes', write)
    both = [processes.Process(target=run) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / 'wrote').read_text() == 'once '


def test_tool(tool, tmp_path):
    out = tool('datasets/digit_scenes', '--out', tmp_path / 's', '--train', 2, '--val', 1,
               '--size', 48)
    assert f'data_root={tmp_path / "s"}' in out
    assert len(list((tmp_path / 's/images/train').iterdir())) == 2
    with pytest.raises(tool.Ended, match='is not empty'):
        tool('datasets/digit_scenes', '--out', tmp_path / 's')

"""The banks of tiny detection and segmentation tasks: images and maps of several sizes."""
import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import dense_tasks
import numpy as np
import pytest
import torch

from autokd_mm.bank import files as bank_module
from autokd_mm.datasets.annotations import LAYOUT
from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import Layers
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import read_arrays
from autokd_mm.proxy.images import cells

Usage = namedtuple('Usage', 'total used free')
# Teachers normalise otherwise than students.
TEACHER = dict(channels=8, mean=[90.0, 100.0, 130.0])


@pytest.fixture(scope='module')
def detection(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco') / 'data'
    dense_tasks.write_coco(root)
    task = dense_tasks.task(
        dense_tasks.built(dense_tasks.detection_datasets(root)), dense_tasks.retinanet(),
        dense_tasks.retinanet(**TEACHER),
        dict(student='neck', teacher='neck', student_logits='bbox_head.retina_cls',
             teacher_logits='bbox_head.retina_cls'), 'mmdet')
    task.root = root
    return task


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory):
    root = tmp_path_factory.mktemp('seg') / 'data'
    dense_tasks.write_maps(root)
    return dense_tasks.task(
        dense_tasks.built(dense_tasks.segmentation_datasets(root)), dense_tasks.fcn(),
        dense_tasks.fcn(**TEACHER),
        dict(student=['backbone.layer2', 'backbone.layer4'],
             teacher=['backbone.layer2', 'backbone.layer4'],
             student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg'),
        'mmseg')


@pytest.fixture(params=['detection', 'segmentation'])
def task(request):
    return request.getfixturevalue(request.param)


@torch.no_grad()
def online(task, pixels):
    """What the teacher says of one image, through its own data_preprocessor."""
    teacher = task.teacher
    size = pixels.shape[1:]
    data = dict(inputs=[torch.from_numpy(pixels)], data_samples=None)
    inputs = teacher.data_preprocessor(data, False)['inputs']
    if task.scope == 'mmdet':
        assert inputs.shape[2] % 32 == 0 and inputs.shape[3] % 32 == 0
        features = teacher.extract_feat(inputs)
        logits = teacher.bbox_head(features)[0]
        found = [*zip([f'feature_{at}' for at in range(5)], features),
                 *zip([f'logits_{at}' for at in range(5)], logits)]
    else:
        features = teacher.backbone(inputs)
        found = [('feature_0', features[1]), ('feature_1', features[3]),
                 ('logits', teacher.decode_head(features))]
    strides = [8, 16, 32, 64, 128] * 2 if task.scope == 'mmdet' else [8] * 3
    return {name: (values[0], stride, cells(size, stride))
            for (name, values), stride in zip(found, strides)}


@pytest.mark.parametrize('dtype, rel', [('float32', 1e-5), ('float16', 2e-3),
                                        ('bfloat16', 2**-8)])
def test_bank_holds_the_teacher_on_each_image_alone(task, tmp_path, dtype, rel):
    banks = task.banks(tmp_path / 'bank', dtype=dtype)
    assert len(set(map(tuple, banks['train'].arrays['pixels'].shapes.tolist()))) > 1
    for name, rows in (('train', 12), ('held_out', 3)):
        bank = banks[name]
        assert len(bank.arrays['pixels']) == rows
        for row in range(rows):
            pixels = bank.rows('pixels', [row])[0]
            expected = online(task, pixels)
            assert set(expected) == {pair.name for pair in task.layers.all}
            for key, (values, stride, (height, width)) in expected.items():
                found = bank.rows(key, [row])[0]
                wanted = values[:, :height, :width].numpy()
                assert found.shape == wanted.shape and bank.made_from['strides'][key] == stride
                assert np.abs(found - wanted).max() <= rel * float(values.abs().max())


def test_bank_holds_the_annotations(task, tmp_path):
    banks = task.banks(tmp_path / 'bank')
    chosen = choose_images(task.settings, task.datasets['train'])
    for name, views in (('train', 2), ('held_out', 1)):
        for row in range(views * len(chosen[name])):
            view, position = divmod(row, len(chosen[name]))
            pixels, kind, arrays = read_arrays(task.datasets[name], chosen[name][position], view,
                                               task.settings.seed)
            assert np.array_equal(banks[name].rows('pixels', [row])[0], pixels)
            assert set(arrays) == set(LAYOUT[kind])
            for key, value in arrays.items():
                assert np.array_equal(banks[name].rows(key, [row])[0], value)


def test_written_once_then_mapped(task, tmp_path):
    seen = []
    task.banks(tmp_path / 'bank', progress=lambda *args: seen.append(args))
    assert {args[0] for args in seen} == {'reading images', 'teacher'}
    assert ('teacher', 12, 12) in seen and ('teacher', 3, 3) in seen
    task.banks(tmp_path / 'bank', progress=lambda *args: pytest.fail('written again'))


def test_interrupted_then_torn(task, tmp_path, monkeypatch):
    """Shards of two images: what is there stays, what is torn is made again."""
    from autokd_mm.bank import plan
    monkeypatch.setattr(plan, '_SHARD_ROWS', 2)
    done = []

    def stop(what, at, total):
        if what == 'teacher':
            done.append(at)
            if at == 7:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.banks(tmp_path / 'bank', progress=stop)
    done.clear()
    bank = task.banks(tmp_path / 'bank', progress=lambda *args: done.append(args[1:]))['train']
    assert (6, 12) not in done and (8, 12) in done and bank.plan.shards == 6
    name = task.layers.pairs[1].name
    before = bank.rows(name, np.arange(12))
    file = tmp_path / 'bank' / 'train' / f'{name}.00004.npy'
    file.write_bytes(file.read_bytes()[:-2])
    warnings = []
    after = task.banks(tmp_path / 'bank', warn=warnings.append)['train'].rows(name, np.arange(12))
    assert len(warnings) == 1 and file.name in warnings[0]
    assert all(np.array_equal(one, other) for one, other in zip(before, after))


def test_shorter_side(task, tmp_path):
    bank = task.banks(tmp_path / 'bank', input_size=32)['train']
    assert (bank.arrays['pixels'].shapes[:, 1:].min(1) == 32).all()
    name = task.layers.pairs[0].name
    assert bank.arrays[name].shapes[:, 1:].tolist() == [
        list(cells(shape[1:], 8)) for shape in bank.arrays['pixels'].shapes]
    with pytest.raises(ConfigError, match='input_size: 32 there, 0 here'):
        task.banks(tmp_path / 'bank')


def test_bank_of_another_scale_is_refused(detection, tmp_path):
    detection.banks(tmp_path / 'bank')
    other = dense_tasks.built(dense_tasks.detection_datasets(detection.root, scale=(80, 60)))
    with pytest.raises(ConfigError, match=r'pipeline: .*\(64, 48\).*there, .*\(80, 60\).*here'):
        detection.banks(tmp_path / 'bank', datasets=other)


def test_bank_of_other_pairs_is_refused(task, tmp_path):
    task.banks(tmp_path / 'bank')
    first = replace(task.layers.pairs[0], name='feature')
    with pytest.raises(ConfigError, match=f'feature: null there, "{first.teacher}"'.replace(
            '[', r'\[') + '.* here.*feature_1: .* there, null here'):
        task.banks(tmp_path / 'bank', layers=Layers((first, ), task.layers.logits))
    swapped = [replace(pair, name=other.name) for pair, other in zip(
        task.layers.pairs, (task.layers.pairs[1], task.layers.pairs[0]))]
    with pytest.raises(ConfigError, match='feature_0: .*0.* there, .*1.* here'
                       if task.scope == 'mmdet' else 'feature_0: .*layer2.* there, .*layer4'):
        task.banks(tmp_path / 'bank', layers=Layers(tuple(swapped) + task.layers.pairs[2:],
                                                    task.layers.logits))


def test_bank_of_other_boxes_is_refused(detection, tmp_path):
    """The same images, annotated otherwise."""
    root = tmp_path / 'data'
    shutil.copytree(str(detection.root), str(root))
    banks = tmp_path / 'bank'
    detection.banks(banks, datasets=dense_tasks.built(dense_tasks.detection_datasets(root)))
    found = json.loads((root / 'train.json').read_text())
    for annotation in found['annotations']:
        annotation['bbox'][0] += 1
    (root / 'train.json').write_text(json.dumps(found))
    with pytest.raises(ConfigError, match='annotations.probes: '):
        detection.banks(banks, datasets=dense_tasks.built(dense_tasks.detection_datasets(root)))


def test_room_is_estimated_from_some_images(task, tmp_path, monkeypatch):
    banks = task.banks(tmp_path / 'bank')
    for bank in banks.values():
        there = sum(file.stat().st_size for file in Path(bank.path).glob('*.npy'))
        header = 128 * len(list(Path(bank.path).glob('*.npy')))
        assert 0.8 < bank.plan.bytes / (there - header) < 1.25
    needed = sum(bank.plan.bytes for bank in banks.values())
    monkeypatch.setattr(shutil, 'disk_usage',
                        lambda path: Usage(0, 0, bank_module.SPARE + needed - 1))
    with pytest.raises(ConfigError, match='the feature bank needs .* make proxy.images, '):
        task.banks(tmp_path / 'other')
    assert not list((tmp_path / 'other').glob('*/*.npy'))


def test_teacher_that_is_not_finite(segmentation, tmp_path):
    weight = segmentation.teacher.decode_head.conv_seg.weight.data
    before = weight.clone()
    try:
        weight *= 1e7
        with pytest.raises(ConfigError, match='logits is not finite in float16; use proxy.dtype'):
            segmentation.banks(tmp_path / 'bank', dtype='float16')
    finally:
        weight.copy_(before)

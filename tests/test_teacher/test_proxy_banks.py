"""The banks of the tiny search."""
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from autokd_mm.bank import files as bank_module
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.teacher_input import TeacherInput
from autokd_mm.proxy.choice import choose_images

Usage = namedtuple('Usage', 'total used free')


def names(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith('.')}


def online(parts, pixels):
    """The teacher on the very images, fed one by one through MMEngine's own way."""
    parts.teacher.eval()
    rows = []
    with torch.no_grad():
        for image in pixels:
            data = parts.teacher.data_preprocessor(dict(inputs=[torch.from_numpy(image)]), False)
            maps = parts.teacher.backbone(data['inputs'])
            rows.append((maps[-1][0], parts.teacher.head.fc(parts.teacher.neck(maps)[-1])[0]))
    return [torch.stack(values).numpy() for values in zip(*rows)]


@pytest.mark.parametrize('dtype, rel', [('float32', 1e-5), ('float16', 2e-3),
                                        ('bfloat16', 2**-8)])
def test_bank_holds_the_teacher_on_those_pixels(parts, tmp_path, dtype, rel):
    banks = parts.banks(tmp_path / 'bank', dtype=dtype)
    for name, rows in (('train', 128), ('held_out', 32)):
        arrays = banks[name].arrays
        assert arrays['pixels'].shape == (rows, 1, 8, 8) and arrays['pixels'].dtype == np.uint8
        assert arrays['feature'].dtype == ('float32' if dtype == 'bfloat16' else dtype)
        assert arrays['feature'].shape == (rows, 32, 2, 2)
        for key, expected in zip(('feature', 'logits'), online(parts, arrays['pixels'])):
            assert np.abs(arrays[key] - expected).max() <= rel * np.abs(expected).max()
    labels = banks['train'].arrays['labels']
    assert np.array_equal(labels[:64], labels[64:]) and set(np.bincount(labels)) <= {12, 14}
    pixels = banks['train'].arrays['pixels']
    assert (pixels[:64] != pixels[64:]).any()


def test_held_out_images_are_not_augmented(parts, banks):
    indices = choose_images(parts.settings, parts.datasets['train'])
    assert not set(indices['train']) & set(indices['held_out'])
    raw = [parts.datasets['train'].get_data_info(int(index))['img'][..., 0]
           for index in indices['held_out']]
    assert np.array_equal(banks['held_out'].arrays['pixels'][:, 0], np.stack(raw))


def test_written_once_then_mapped(parts, tmp_path):
    seen = []
    parts.banks(tmp_path / 'bank', progress=lambda what, done, total: seen.append(what))
    assert set(seen) == {'reading images', 'teacher'}
    parts.banks(tmp_path / 'bank', progress=lambda *args: pytest.fail('written again'))


def test_bank_that_was_interrupted_is_gone_on_with(parts, tmp_path):
    tmp_path = tmp_path / 'run[1]'  # a name that means something to glob

    def stop(what, done, total):
        if what == 'teacher':
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.banks(tmp_path / 'bank', progress=stop)
    assert not (tmp_path / 'bank' / 'train').exists()
    parts.banks(tmp_path / 'bank')
    assert names(tmp_path / 'bank') == {'train', 'held_out'}


def test_torn_shard_is_rebuilt_from_the_same_pixels(parts, tmp_path):
    before = np.array(parts.banks(tmp_path / 'bank')['train'].arrays['pixels'])
    (tmp_path / 'bank' / 'train' / 'pixels.00000.npy').write_bytes(b'torn')
    warnings = []
    after = parts.banks(tmp_path / 'bank', warn=warnings.append)['train'].arrays['pixels']
    assert len(warnings) == 1 and 'pixels.00000.npy' in warnings[0]
    assert np.array_equal(before, after)


def test_shards_hold_the_same_rows_as_one(parts, banks, tmp_path, monkeypatch):
    from autokd_mm.bank import plan
    monkeypatch.setattr(plan, '_SHARD_ROWS', 50)
    sharded = parts.banks(tmp_path / 'bank')['train']
    assert sharded.plan.shards == 3 and banks['train'].plan.shards == 1
    for name, array in banks['train'].arrays.items():
        found, expected = np.asarray(sharded.arrays[name]), np.asarray(array)
        # batches of other sizes are summed in another order
        assert np.abs(found - expected.astype(found.dtype)).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize('change, words', [
    (dict(views=1), 'views: 2 there, 1 here'), (dict(seed=1), 'seed: 0 there, 1 here'),
    (dict(dtype='float16'), 'dtype: "float32" there, "float16" here'),
    (dict(images=32), 'rows: 128 there, 64 here')])
def test_bank_of_other_settings_is_refused(parts, tmp_path, change, words):
    parts.banks(tmp_path / 'bank')
    with pytest.raises(ConfigError, match=words):
        parts.banks(tmp_path / 'bank', **change)


def test_bank_of_another_teacher_is_refused(parts, tmp_path):
    parts.banks(tmp_path / 'bank')
    weight = parts.teacher.head.fc.weight.data
    weight += 1
    try:
        with pytest.raises(ConfigError, match='teacher: "'):
            parts.banks(tmp_path / 'bank')
    finally:
        weight -= 1


def test_bank_of_a_teacher_that_normalises_differently_is_refused(parts, tmp_path, monkeypatch):
    parts.banks(tmp_path / 'bank')
    monkeypatch.setitem(parts.config.model.teacher.data_preprocessor, 'mean', [12.5])
    with pytest.raises(ConfigError, match='teacher_config: .*78.35.*there, .*12.5.*here'):
        parts.banks(tmp_path / 'bank')


def test_bank_of_another_pipeline_is_refused(parts, tmp_path):
    from mmengine.registry import DATASETS
    parts.banks(tmp_path / 'bank')
    config = dict(parts.config.train_dataloader.dataset)
    config['pipeline'] = [dict(type='RandomCrop', crop_size=8, padding=2), dict(type='PackInputs')]
    with pytest.raises(ConfigError, match='pipeline: .*padding=1.*there, .*padding=2.*here'):
        parts.banks(tmp_path / 'bank', datasets=dict(parts.datasets,
                                                     train=DATASETS.build(config)))


def test_pipeline_step_without_a_repr_is_recognised_again(parts, tmp_path, monkeypatch):
    """The address in its default repr changes from process to process."""

    class Step:

        def __call__(self, results):
            return results

    for _ in range(2):
        steps = parts.datasets['train'].pipeline.transforms
        monkeypatch.setattr(parts.datasets['train'].pipeline, 'transforms', [Step(), *steps[-2:]])
        parts.banks(tmp_path / 'bank')


def test_held_out_images_of_another_size_are_refused(parts, tmp_path):
    from mmengine.registry import DATASETS
    config = dict(parts.config.train_dataloader.dataset)
    config['pipeline'] = [dict(type='CenterCrop', crop_size=6), dict(type='PackInputs')]
    with pytest.raises(ConfigError, match='val_dataloader.dataset.pipeline: it must make images'):
        parts.banks(tmp_path / 'bank', datasets=dict(parts.datasets,
                                                     held_out=DATASETS.build(config)))
    assert not (tmp_path / 'bank').exists()


def test_disk_must_hold_both_banks(parts, tmp_path, monkeypatch):
    """Enough for the first of them is not enough: nothing is written."""
    room = bank_module.SPARE + 100_000
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, room))
    with pytest.raises(ConfigError, match='are free at'):
        parts.banks(tmp_path / 'bank', images=320, held_out=160)
    assert names(tmp_path / 'bank') == set()


def test_teacher_that_is_not_finite(parts, tmp_path, monkeypatch):
    weight = parts.teacher.head.fc.weight.data
    before = weight.clone()
    try:
        weight *= 1e6
        with pytest.raises(ConfigError, match='logits is not finite in float16; use proxy.dtype'):
            parts.banks(tmp_path / 'half', dtype='float16')
        weight.fill_(float('nan'))
        with pytest.raises(ConfigError, match='teacher_ckpt: the teacher.s logits is not finite'):
            parts.banks(tmp_path / 'bank')
    finally:
        weight.copy_(before)
    assert names(tmp_path / 'bank') == {'train.unfinished'}  # no bank


def test_a_scale_is_not_for_images_with_a_class_label(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(parts.model, 'to_teacher', TeacherInput(None, None, scale=2.0))
    with pytest.raises(ConfigError, match='^model.teacher_input.scale: .*give .* a size'):
        parts.banks(tmp_path / 'bank')

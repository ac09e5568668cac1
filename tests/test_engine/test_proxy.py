"""Settings, layers, and the banks of the tiny search."""
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from autokd_mm.engine import bank as bank_module
from autokd_mm.engine.proxy import ProxySettings, choose_images, find_layers, forward, inputs_for
from autokd_mm.space.errors import ConfigError

Usage = namedtuple('Usage', 'total used free')
PIXELS = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)


def test_defaults_come_from_the_loader():
    settings = ProxySettings.from_config(dict(images=100, views=3), 64)
    assert (settings.batch_size, settings.images, settings.views) == (64, 100, 3)
    assert ProxySettings(**settings.to_dict()) == settings


@pytest.mark.parametrize('config, words', [
    (dict(image=100), "proxy: 'image' is unknown, did you mean 'images'"),
    (dict(images=0), 'proxy.images=0: must be a whole number, at least 2'),
    (dict(images=1), 'proxy.images=1'), (dict(held_out=1), 'proxy.held_out=1'),
    (dict(images='640'), "proxy.images='640'"), (dict(images=640.5), 'proxy.images=640.5'),
    (dict(epochs=0), 'proxy.epochs=0'), (dict(views=-1), 'proxy.views=-1'),
    (dict(threads=-1), 'proxy.threads=-1'), (dict(seed=-1), 'proxy.seed=-1'),
    (dict(epochs=True), 'proxy.epochs=True'),
    (dict(images=32), 'proxy.batch_size=64 is larger than proxy.images=32'),
    (dict(dtype='float8'), "proxy.dtype: 'float8' is unknown, did you mean 'float"),
])
def test_bad_settings(config, words):
    with pytest.raises(ConfigError, match=words):
        ProxySettings.from_config(config, 64)


def test_layers_and_shapes(parts):
    assert parts.layers.student_shape == (16, 2, 2) and parts.layers.teacher_shape == (32, 2, 2)
    assert parts.classes == 10 and not parts.layers.same_shape
    layers, classes = find_layers(parts.model, parts.student,
                                  dict(student='neck', teacher='backbone.layer3'), PIXELS)
    assert layers.student_shape == (16, 1, 1) and classes == 0 and layers.student_logits is None


@pytest.mark.parametrize('change, words', [
    (dict(student='backbone.layer4'), "layers.student: ImageClassifier has no layer "
     "'backbone.layer4'; the nearest are backbone.layer"),
    (dict(teacher_logits='head.fd'), 'layers.teacher_logits: .*head.fc'),
    (dict(studnet='neck'), "layers: 'studnet' is unknown, did you mean 'student'"),
    (dict(student=None), 'layers.student is missing'),
    (dict(teacher_logits=None), 'layers.teacher_logits is missing'),
])
def test_bad_layers(parts, change, words):
    with pytest.raises(ConfigError, match=words):
        find_layers(parts.model, parts.student, {**parts.config.train_cfg.layers, **change},
                    PIXELS)


def test_missing_layer_key(parts):
    with pytest.raises(ConfigError, match='layers.teacher is missing'):
        find_layers(parts.model, parts.student, dict(student='neck'), PIXELS)


def test_different_classes(parts):
    with pytest.raises(ConfigError, match='teacher has 32 classes and the student 10'):
        find_layers(parts.model, parts.student,
                    {**parts.config.train_cfg.layers, 'teacher_logits': 'neck'}, PIXELS)


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


@pytest.mark.parametrize('dtype, rel', [('float32', 1e-5), ('float16', 2e-3)])
def test_bank_holds_the_teacher_on_those_pixels(parts, tmp_path, dtype, rel):
    banks = parts.banks(tmp_path / 'bank', dtype=dtype)
    for name, rows in (('train', 128), ('held_out', 32)):
        arrays = banks[name].arrays
        assert arrays['pixels'].shape == (rows, 1, 8, 8) and arrays['pixels'].dtype == np.uint8
        assert arrays['feature'].dtype == dtype and arrays['feature'].shape == (rows, 32, 2, 2)
        for key, expected in zip(('feature', 'logits'), online(parts, arrays['pixels'])):
            assert np.abs(arrays[key] - expected).max() <= rel * np.abs(expected).max()
    labels = banks['train'].arrays['labels']
    assert np.array_equal(labels[:64], labels[64:]) and set(np.bincount(labels)) <= {12, 14}
    pixels = banks['train'].arrays['pixels']
    assert (pixels[:64] != pixels[64:]).any()


def test_each_network_gets_its_images_as_in_training(parts):
    """A teacher with statistics of its own, and one whose config says nothing of images."""
    import copy

    from autokd_mm.registry import MODELS
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    config = copy.deepcopy(parts.config.model)
    config.teacher.data_preprocessor.update(mean=[10.0], std=[20.0])
    model = MODELS.build(config)
    expected = (pixels.float() - 10) / 20
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)
    expected = (pixels.float() - 78.35) / 95.95
    assert torch.allclose(inputs_for(model, pixels, teacher=False), expected, atol=1e-5)
    config.teacher.pop('data_preprocessor')
    model = MODELS.build(config)
    assert torch.allclose(inputs_for(model, pixels, teacher=True), expected, atol=1e-5)


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


def test_unfinished_folder_of_a_killed_process_is_removed(parts, tmp_path):
    tmp_path = tmp_path / 'run[1]'  # a name that means something to glob
    left = tmp_path / 'bank' / 'train.unfinished-12345'
    left.mkdir(parents=True)
    (left / 'pixels.npy').write_bytes(b'half')
    parts.banks(tmp_path / 'bank')
    assert {path.name for path in (tmp_path / 'bank').iterdir()} == {'train', 'held_out'}


def test_torn_shard_is_rebuilt_from_the_same_pixels(parts, tmp_path):
    before = np.array(parts.banks(tmp_path / 'bank')['train'].arrays['pixels'])
    (tmp_path / 'bank' / 'train' / 'pixels.npy').write_bytes(b'torn')
    warnings = []
    after = parts.banks(tmp_path / 'bank', warn=warnings.append)['train'].arrays['pixels']
    assert len(warnings) == 1 and 'pixels.npy' in warnings[0] and np.array_equal(before, after)


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
    room = bank_module._SPARE + 100_000
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, room))
    with pytest.raises(ConfigError, match='are free at'):
        parts.banks(tmp_path / 'bank', images=320, held_out=160)
    assert list((tmp_path / 'bank').iterdir()) == []


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
    assert list((tmp_path / 'bank').iterdir()) == []


def test_forward_leaves_the_teacher_alone(parts):
    before = {name: value.clone() for name, value in parts.teacher.state_dict().items()}
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    out = forward(parts.teacher.train(), dict(feature='backbone.layer3'),
                  inputs_for(parts.model, pixels, teacher=True))
    assert out['feature'].shape == (4, 32, 2, 2) and not out['feature'].requires_grad
    assert all(torch.equal(value, before[name])
               for name, value in parts.teacher.state_dict().items())

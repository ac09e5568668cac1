"""Sizes of images and of the proxy."""
import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset, RepeatDataset

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.zoo import images, sizing


def config(name='student.py', kind='Nothing', batch_size=2, **dataset):
    dataset = dict(dict(type=kind, pipeline=[]), **dataset)
    return Config(dict(train_dataloader=dict(batch_size=batch_size, dataset=dataset)),
                  cfg_text='#', filename=name)


@pytest.mark.parametrize('steps, found', [
    ([dict(type='Resize', scale=(1333, 800), keep_ratio=True)], [('Resize', (800, 1333))]),
    ([dict(type='RandomChoiceResize', scales=[(1333, 640), (1333, 800)])],
     [('RandomChoiceResize', (800, 1333))]),
    ([dict(type='RandomResizedCrop', scale=224), dict(type='CenterCrop', crop_size=192)],
     [('RandomResizedCrop', (224, 224)), ('CenterCrop', (192, 192))]),
    ([dict(type='RandomApply', transforms=[dict(type='Resize', scale=64)])],
     [('Resize', (64, 64))]),
    ([dict(type='Resize', scale=(2048, -1)), dict(type='RandomFlip', prob=0.5)],
     [('Resize', (2048, 2048))]),
    ([dict(type='RandomErasing', scale=(0.1, 0.3))], [])])
def test_sizes_in_a_pipeline(steps, found):
    assert list(images.sizes_in(steps)) == found


def test_the_side_of_a_classifier():
    loader = dict(dataset=dict(type='ImageNet', pipeline=[dict(type='CenterCrop', crop_size=384)]))
    assert images.side_of(dict(val_dataloader=loader)) == 384
    assert images.side_of(dict(train_dataloader=dict(dataset=dict(
        type='RepeatDataset', dataset=dict(type='CIFAR10', pipeline=[]))))) == 32
    assert images.side_of({}) is None


def test_known_data_sets_are_not_read():
    found = sizing.size(config(kind='CocoDataset', ann_file='annotations/instances_train2017.json'),
                        'boxes')
    assert found.config == dict(images=0.01, held_out=200, epochs=8, dtype='float16')
    assert found.why == ['proxy: 1,173 of 117,266 images (CocoDataset) in 8 epochs of batches of 2']
    found = sizing.size(config(kind='ImageNet', split='train', name='resnet18_8xb32_in1k.py',
                               batch_size=32), 'label')
    assert found.config == dict(images=0.02, held_out=5000, epochs=4, batch_size=256, views=2,
                                dtype='float16')


def test_a_small_one_under_usual_names_is_counted(tmp_path, monkeypatch):
    """An export in COCO's format, or a folder of ImageNet's kind."""
    monkeypatch.setattr(sizing.DATASETS, 'build', lambda config: range(382))
    own = config(kind='CocoDataset', ann_file='annotations/instances_train2017.json',
                 data_root=str(tmp_path))
    assert sizing.count(own) == (382, 'CocoDataset, counted')
    monkeypatch.setattr(sizing.DATASETS, 'build', lambda config: 1 / 0)  # not whole
    assert sizing.count(own) == (117266, 'CocoDataset')


def test_an_image_that_is_repeated_counts_once(tmp_path, monkeypatch):
    """As large-scale jitter's schedules have them, eight times; a search takes different images."""

    class Few(BaseDataset):
        def load_data_list(self):
            return [dict(img_path=f'{n}.jpg') for n in range(16)]

    eight = RepeatDataset(Few(), times=8)
    assert len(eight) == 128
    monkeypatch.setattr(sizing.DATASETS, 'build', lambda config: eight)
    assert sizing.count(config(kind='CocoDataset', data_root=str(tmp_path)))[0] == 16


def test_a_data_set_that_is_not_there():
    found = sizing.size(config(), 'label')
    assert (found.config['images'], found.config['held_out']) == (0.05, 0.05)
    assert found.why[0].startswith('proxy: a twentieth of the images (Nothing, which is not here')


@pytest.mark.parametrize('kind, file', [
    ('CocoDataset', 'annotations/my_200_images.json'),
    ('CocoDataset', 'annotations/voc0712_trainval.json'),
    ('COCOStuffDataset', 'images/train2014')])
def test_another_data_set_of_a_well_known_class(kind, file):
    assert sizing.count(config(kind=kind, ann_file=file)) == (
        None, f'{kind}, which is not here to be counted')


@pytest.mark.parametrize('kind', ['DigitScenesCoco', 'DigitScenesCityscapes'])
def test_scenes_are_not_written_to_be_counted(tmp_path, kind):
    root = tmp_path / 'scenes'
    found = sizing.count(config(kind=f'mmrazor.{kind}', data_root=str(root)))
    assert found == (400, f'{kind}, which are written when a training needs them')
    assert not root.exists()


@pytest.mark.parametrize('total, kind, images, held_out', [
    (50000, 'label', 4000, 1000), (1000, 'label', 500, 200), (400, 'boxes', 250, 100),
    (5000, 'boxes', 1200, 200), (2975, 'segmentation', 0.1, 200),
    (20210, 'segmentation', 0.03, 200), (8, 'boxes', 5, 2)])
def test_sizes_of_the_proxy(total, kind, images, held_out):
    assert sizing._numbers(total, kind) == dict(images=images, held_out=held_out)


@pytest.mark.parametrize('name, auto, images, batch, told', [
    ('rtmdet_s_8xb32-300e_coco.py', None, 1173, 32, ' (the learning rate is for 256)'),
    ('deeplabv3_r18-d8_4xb4-80k_cityscapes-512x1024.py', None, 1200, 16, ''),
    ('own.py', 16, 1173, 16, ''), ('own.py', None, 1173, 4, ''),
    ('own.py', 16, 20, 5, ' (the learning rate is for 16)')])
def test_the_batch_is_that_of_the_learning_rate(name, auto, images, batch, told):
    given = config(name, batch_size=4)
    if auto:
        given.auto_scale_lr = dict(base_batch_size=auto)
    assert sizing._batch(given, 'boxes', images, 4) == (batch, told)


def test_a_classifier_that_learns_with_smaller_images():
    def loader(side):
        return dict(dataset=dict(pipeline=[dict(type='RandomResizedCrop', scale=side)]))

    config = dict(train_dataloader=loader(192), val_dataloader=loader(224))
    assert images.training_side(config) == 192 and images.side_of(config) == 224
    assert sizing._input_size(config, LABEL) == 192
    assert sizing._input_size(dict(config, val_dataloader=loader(192)), LABEL) == 0
    assert images.training_side(dict(val_dataloader=loader(64))) == 64

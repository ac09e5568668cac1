"""What is said of the images of an exported network, by what its pipeline does to colours."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from autokd_mm.deploy.images import images_of
from autokd_mm.errors import ConfigError

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
CROP = [dict(type='Resize', scale=(40, 40))]


def images(steps, channels=3, **normalised):
    network = nn.Module()
    network.backbone = nn.Conv2d(channels, 4, 3)
    network.data_preprocessor = ClsDataPreprocessor(**normalised)
    config = Config(dict(test_dataloader=dict(dataset=dict(type='X', pipeline=steps))))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return images_of(config, network)


@pytest.mark.parametrize('to_rgb, order', [(True, 'RGB'), (False, 'BGR')])
def test_the_preprocessor_normalises(to_rgb, order):
    found = images([LOAD, *CROP, PACK], mean=MEAN, std=STD, to_rgb=to_rgb)
    assert found.order == order and (found.mean, found.std) == (MEAN, STD)
    assert found.example.shape == (1, 3, 40, 40)


def test_the_pipeline_normalises():
    step = dict(type='Normalize', mean=[100., 110., 120.], std=[50., 51., 52.], to_rgb=True)
    found = images([LOAD, *CROP, step, PACK])
    assert found.order == 'RGB'
    assert found.mean == pytest.approx([100, 110, 120], abs=1e-3)
    assert found.std == pytest.approx([50, 51, 52], abs=1e-3)


def test_both_of_them_do():
    step = dict(type='Normalize', mean=[100.] * 3, std=[50.] * 3, to_rgb=False)
    found = images([LOAD, *CROP, step, PACK], mean=[1.0] * 3, std=[2.0] * 3)
    assert found.order == 'BGR'  # ((x - 100) / 50 - 1) / 2
    assert found.mean == pytest.approx([150] * 3) and found.std == pytest.approx([100] * 3)


def test_an_array_is_turned_around_and_back():
    steps = [LOAD, dict(type='NumpyToPIL', to_rgb=True),
             dict(type='torchvision/Resize', size=(40, 40)),
             dict(type='PILToNumpy', to_bgr=False), PACK]
    assert images(steps, mean=MEAN, std=STD).order == 'RGB'
    assert images(steps, mean=MEAN, std=STD, to_rgb=True).order == 'BGR'


def test_one_mean_for_all_channels():
    found = images([LOAD, *CROP, PACK], mean=[127.5], std=[63.0])
    assert found.mean == [127.5] * 3 and found.std == [63.0] * 3


def test_images_without_colour_and_of_no_file():
    assert images([*CROP, PACK], 1, mean=[10.], std=[20.]).order == 'gray'
    assert images([*CROP, PACK], mean=MEAN, std=STD).order == 'RGB'


@pytest.mark.parametrize('step', [dict(type='Solarize', thr=100, prob=1.0),
                                  dict(type='Invert', prob=1.0)])
def test_what_no_mean_and_deviation_say(step):
    if step['type'] == 'Invert':  # which they do say: (255 - x)
        found = images([LOAD, *CROP, step, PACK])
        assert found.std == pytest.approx([-1] * 3) and found.mean == pytest.approx([255] * 3)
        return
    with pytest.raises(ConfigError, match='changes colours in another way'):
        images([LOAD, *CROP, step, PACK])
    assert torch.is_grad_enabled()

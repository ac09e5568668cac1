"""An image as a network of a config sees it."""
from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from autokd_mm.visualization.loading import load_image


@pytest.mark.parametrize('channels', [1, 3])
def test_a_mean_may_be_one_number_for_all_channels(tmp_path, channels):
    path = str(tmp_path / 'image.png')
    mmcv.imwrite(np.random.RandomState(0).randint(0, 256, (12, 16, 3)).astype(np.uint8), path)
    network = nn.Module()
    network.backbone = nn.Conv2d(channels, 4, 3)
    model = SimpleNamespace(architecture=network,
                            data_preprocessor=ClsDataPreprocessor(mean=[127.5], std=[60.0]))
    config = Config(dict(test_dataloader=dict(dataset=dict(
        type='X', pipeline=[dict(type='PackInputs')]))))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        batch, seen = load_image(config, model, path)
    assert batch['inputs'][0].shape == (channels, 12, 16) and seen.shape == (12, 16, 3)

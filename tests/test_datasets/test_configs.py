"""Every config of configs/vanilla whose data come from autokd_mm/datasets or are CIFAR's."""
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.name for path in (CONFIGS / 'vanilla').glob('*.py')
               if path.stem.split('_', 1)[1] in ('digits', 'cifar10', 'cifar100'))


def test_there_are_configs():
    assert len(NAMES) >= 7


@pytest.mark.parametrize('name', NAMES)
def test_config_is_built(name):
    config = Config.fromfile(str(CONFIGS / 'vanilla' / name))
    init_default_scope(config.default_scope)
    network, data = Path(name).stem.split('_')
    size, channels, classes = dict(
        digits=(8, 1, 10), cifar10=(32, 3, 10), cifar100=(32, 3, 100))[data]
    if (network, data) == ('deit-tiny', 'cifar100'):
        size = 224
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    depth = re.match(r'(?:resnet|wrn-|vgg)(\d+)', network)
    assert depth is None or model.backbone.depth == int(depth[1])
    model.eval()
    with torch.no_grad():
        logits = model(torch.rand(2, channels, size, size))
    assert logits.shape == (2, classes) and torch.isfinite(logits).all()
    assert model.data_preprocessor.mean.numel() == channels
    assert config.custom_imports.imports == ['autokd_mm']
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert config[loader].persistent_workers is False
        if data == 'digits':
            dataset = DATASETS.build(config[loader].dataset)
            assert dataset[0]['inputs'].shape == (channels, size, size)
        else:
            check_pipeline(config[loader].dataset, size)


def check_pipeline(config, size):
    """Without the data: the transforms alone, and where they would look."""
    assert config.data_root.startswith('data/')
    dataset = DATASETS.build(dict(config, lazy_init=True))
    packed = dataset.pipeline(dict(img=np.zeros((size, size, 3), np.uint8), gt_label=1))
    assert packed['inputs'].shape == (3, size, size)


def test_digits_config_trains(tmp_path):
    """A few epochs of the small network beat guessing by far."""
    from mmengine.runner import Runner
    config = Config.fromfile(str(CONFIGS / 'vanilla' / 'resnet8-w4_digits.py'))
    config.work_dir = str(tmp_path)
    config.train_cfg.max_epochs = config.train_cfg.val_interval = 6
    config.log_level = 'ERROR'
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.test()['accuracy/top1'] > 40

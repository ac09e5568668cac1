"""The tiny search, taken apart: networks, images and banks without a runner."""
import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from autokd_mm.layers.find import find_layers
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import held_out_dataset_config
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.teacher.checkpoint import made_from
from autokd_mm.teacher.proxy_banks import open_banks


@pytest.fixture(autouse=True)
def scope():
    """What a Runner sets from ``default_scope``."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def parts(tmp_path_factory, tiny_config, tiny_teacher):
    """``config``, ``settings``, ``student``, ``teacher``, ``datasets``, ``layers``;
    ``banks(folder, **settings)`` and ``trainer(banks, **arguments)`` make the rest."""
    path = tmp_path_factory.mktemp('parts') / 'tiny.py'
    path.write_text(tiny_config(str(tiny_teacher)))
    config = Config.fromfile(str(path))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(1)
        model = MODELS.build(copy.deepcopy(config.model))
        model.init_weights()
        student, teacher = model.architecture, model.teacher
        train = config.train_dataloader.dataset
        datasets = dict(train=DATASETS.build(train), held_out=DATASETS.build(
            held_out_dataset_config(train, config.val_dataloader.dataset)))
    settings = ProxySettings.from_config(config.train_cfg.proxy, 64)
    layers = find_layers(model, student, config.train_cfg.layers,
                         torch.zeros(2, 1, 8, 8, dtype=torch.uint8))

    def banks(folder, warn=pytest.fail, progress=lambda *args: None, datasets=datasets,
              layers=layers, **values):
        chosen = ProxySettings(**{**settings.to_dict(), **values})
        return open_banks(str(folder), chosen, datasets, choose_images(chosen, datasets['train']),
                          model, made_from(teacher, config), layers, warn, progress)

    def trainer(banks, optim_wrapper=config.optim_wrapper, curve=(1.0, ), fresh=None,
                device='cpu', **values):
        chosen = replace(settings, **{**dict(epochs=2, batch_size=32), **values})
        return ProxyTrainer(fresh or (lambda seed: student), layers, banks['train'],
                            banks['held_out'], chosen, optim_wrapper, list(curve),
                            torch.device(device))

    return SimpleNamespace(config=config, settings=settings, model=model, student=student,
                           teacher=teacher, datasets=datasets, layers=layers,
                           banks=banks, trainer=trainer)


@pytest.fixture(scope='module')
def banks(parts, tmp_path_factory):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return parts.banks(tmp_path_factory.mktemp('bank'))


@pytest.fixture
def rng():
    return np.random.default_rng(0)

"""The settings of the proxy."""
import json

import pytest
from mmengine.config import Config

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.settings import ProxySettings


def test_defaults_come_from_the_loader():
    settings = ProxySettings.from_config(dict(images=100, views=3), 64)
    assert (settings.batch_size, settings.images, settings.views) == (64, 100, 3)
    assert ProxySettings(**settings.to_dict()) == settings


def test_settings_are_json_and_come_back():
    config = dict(images=0.5, held_out=0.1, frozen=['backbone.conv1', 'backbone.conv1'],
                  sparse=dict(density=0.1), select='teacher_entropy', input_size=16,
                  precision='bfloat16', channels_last=True)
    settings = ProxySettings.from_config(config, 64)
    assert settings.frozen == ('backbone.conv1', )
    assert settings.sparse == dict(density=0.1, death_rate=0.5, interval=20)
    again = json.loads(json.dumps(settings.to_dict()))
    assert again == settings.to_dict() and ProxySettings(**again) == settings
    assert ProxySettings.from_config(Config(config)._cfg_dict, 64) == settings


def test_iterations_are_cut_into_epochs():
    settings = ProxySettings.from_config(dict(images=100, epochs=3, batch_size=8), 64)
    assert settings.steps(100) == 12 and 'iterations' not in settings.to_dict()
    settings = ProxySettings.from_config(dict(images=100, epochs=3, iterations=10), 8)
    assert settings.steps(100) == 3
    assert ProxySettings(**settings.to_dict()) == settings


def test_nothing_is_sparse_or_frozen_by_default():
    settings = ProxySettings.from_config({}, 64)
    assert settings.sparse is None and settings.frozen == ()
    assert ProxySettings.from_config(dict(sparse={}), 64).sparse == dict(
        density=0.05, death_rate=0.5, interval=20)


def test_shares_of_the_data_set():
    settings = ProxySettings.from_config(dict(images=0.04, held_out=0.02), 64)
    assert settings.counts(50000) == (2000, 1000)
    assert ProxySettings.from_config(dict(images=1.0), 64).counts(99)[0] == 99
    assert ProxySettings.from_config(dict(images=640, held_out=32), 64).counts(99) == (640, 32)
    with pytest.raises(ConfigError, match=r'proxy.batch_size=64 is larger than proxy.images=0.04 '
                                          r'\(40 images\)'):
        settings.counts(1000)


@pytest.mark.parametrize('config, words', [
    (dict(image=100), "proxy: 'image' is unknown, did you mean 'images'"),
    (dict(images=0), 'proxy.images=0: must be a whole number, at least 2'),
    (dict(images=1), 'proxy.images=1'), (dict(held_out=1), 'proxy.held_out=1'),
    (dict(images='640'), "proxy.images='640'"), (dict(images=640.5), 'proxy.images=640.5'),
    (dict(iterations=3), 'proxy.iterations=3: there are proxy.epochs=4 parts'),
    (dict(iterations=-1), 'proxy.iterations=-1'), (dict(iterations=0.5), 'proxy.iterations=0.5'),
    (dict(epochs=0), 'proxy.epochs=0'), (dict(views=-1), 'proxy.views=-1'),
    (dict(threads=-1), 'proxy.threads=-1'), (dict(seed=-1), 'proxy.seed=-1'),
    (dict(epochs=True), 'proxy.epochs=True'),
    (dict(images=32), 'proxy.batch_size=64 is larger than proxy.images=32'),
    (dict(dtype='float8'), "proxy.dtype: 'float8' is unknown, did you mean 'float"),
    (dict(images=0.0), r'proxy.images=0.0: .*or a share of the data set in \(0, 1\]'),
    (dict(images=1.5), 'proxy.images=1.5'), (dict(held_out=-0.1), 'proxy.held_out=-0.1'),
    (dict(images=float('nan')), 'proxy.images=nan'), (dict(epochs=0.5), 'proxy.epochs=0.5'),
    (dict(input_size=-1), 'proxy.input_size=-1'),
    (dict(select='entropy'), "proxy.select: 'entropy' is unknown, did you mean 'teacher_entropy'"),
    (dict(precision='float16'), "proxy.precision: 'float16' is unknown, did you mean 'bfloat16'"),
    (dict(channels_last=1), 'proxy.channels_last=1: must be True or False'),
    (dict(channels_last='yes'), "proxy.channels_last='yes': must be True or False"),
    (dict(frozen='backbone.conv1'), "proxy.frozen='backbone.conv1': must be a list of module"),
    (dict(frozen=[1]), 'proxy.frozen: 1 is no module name'),
    (dict(frozen=['']), "proxy.frozen: '' is no module name"),
    (dict(sparse=0.05), 'proxy.sparse=0.05: must be a dict with some of density, death_rate'),
    (dict(sparse=dict(death=0.5)), "proxy.sparse: 'death' is unknown, did you mean 'death_rate'"),
    (dict(sparse=dict(density=0)), 'proxy.sparse.density=0: must be a number'),
    (dict(sparse=dict(interval=None)), 'proxy.sparse.interval=None: must be a whole number'),
])
def test_bad_settings(config, words):
    with pytest.raises(ConfigError, match=words):
        ProxySettings.from_config(config, 64)

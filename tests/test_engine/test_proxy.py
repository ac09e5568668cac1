"""The settings of the proxy."""
import pytest

from autokd_mm.engine.proxy import ProxySettings
from autokd_mm.space.errors import ConfigError


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

from dataclasses import dataclass

import pytest
from mmengine.config import ConfigDict

from autokd_mm.engine.settings import SearchSettings
from autokd_mm.errors import ConfigError
from autokd_mm.space.checks import read_settings, refuse_unknown, whole_number


def test_unknown_key_of_the_loop():
    with pytest.raises(ConfigError, match="train_cfg: 'sampelr' is unknown, did you mean 'sampler"):
        refuse_unknown(dict(sampelr=1), SearchSettings)
    refuse_unknown(dict(trials=3), SearchSettings)


@dataclass
class Settings:
    best: int = 5
    length: int = 4


def test_settings_that_can_be_switched_off():
    assert read_settings('final', None, Settings) is read_settings('final', False, Settings) is None
    assert read_settings('final', True, Settings) == read_settings('final', {}, Settings) == {}
    assert read_settings('final', ConfigDict(best=3), Settings) == dict(best=3)
    for wrong in ('True', 3, ['best']):
        with pytest.raises(ConfigError, match='final=.*: must be a dict with best, len'):
            read_settings('final', wrong, Settings)
    with pytest.raises(ConfigError, match="final: 'lenght' is unknown, did you mean 'length'"):
        read_settings('final', dict(lenght=2), Settings)


@pytest.mark.parametrize('value', [0, 1.0, True, '2', None])
def test_whole_number(value):
    whole_number('final.best', 1, 1)
    with pytest.raises(ConfigError, match='final.best=.*: must be a whole number, at least 1'):
        whole_number('final.best', value, 1)

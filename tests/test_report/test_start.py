"""Where the student starts, in a found config."""
import pytest
from mmengine.config import Config
from torch import nn

from autokd_mm.engine.twin import twin_of
from autokd_mm.models.algorithms.inherited import parts_of
from autokd_mm.models.distillers import spec_from_config
from autokd_mm.report.start import set_start, start_levels
from autokd_mm.space import DistillerSpec


class Network(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.fixture
def config():
    student = dict(type='ImageClassifier')
    return Config(dict(
        model=dict(type='mmrazor.FrozenTeacherDistill', architecture=student, teacher=student,
                   distiller=dict(), start=dict(part='head')),
        work_dir='a', data_preprocessor=None,
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))


@pytest.mark.parametrize('options', [
    {}, dict(start='classifier', start_lr=1), dict(start='classifier', start_lr=0),
    dict(start='classifier', start_lr=0.1)])
def test_written_and_read_back(config, options):
    spec = DistillerSpec('logits_only', 'kl', **options)
    plain = config.optim_wrapper.to_dict()
    set_start(config, spec, parts_of(Network(), Network(), ('classifier', )))
    read = Config.fromstring(config.pretty_text, '.py')
    assert start_levels(read) == options
    assert spec_from_config({}, start=start_levels(read)) == DistillerSpec('logits_only', **options)
    assert ('start' in read.model) == bool(options)
    assert (read.optim_wrapper.to_dict() == plain) == (options.get('start_lr') != 0.1)
    twin = twin_of(read, 0)  # which starts as initialised, and learns at one rate
    assert 'start' not in twin.model
    assert not (twin.optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys')

"""What is wrong with the train_cfg of a training is said before a search begins."""
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop

from autokd_mm.engine.full_training import check_training
from autokd_mm.errors import ConfigError

KEY = 'train_cfg.full_training'


@pytest.mark.parametrize('config', [
    dict(max_epochs=12), dict(by_epoch=True, max_epochs=12, val_interval=1, val_begin=0),
    dict(by_epoch=False, max_iters=40000, val_interval=4000), dict(by_epoch=True, max_epochs=12.0),
    dict(type='EpochBasedTrainLoop', max_epochs=12, dynamic_intervals=[(10, 1)]),
    dict(type='mmengine.IterBasedTrainLoop', max_iters=3),
    dict(type='EpochBasedTrainLoop', max_epochs=12, _scope_='mmdet'),
    dict(type=EpochBasedTrainLoop, max_epochs=1)])
def test_what_mmengine_takes(config):
    assert check_training(ConfigDict(config), KEY) == config


@pytest.mark.parametrize('config, says', [
    (5, 'train_cfg.full_training=5: must be the train_cfg of a training, such as dict(by_epoch='),
    (dict(by_epoch=True, type='EpochBasedTrainLoop', max_epochs=1), ': type and by_epoch both say'),
    (dict(max_epochs=0), '.max_epochs=0: must be a whole number, at least 1'),
    (dict(max_epochs=-3), '.max_epochs=-3: must be'), (dict(max_epochs=2.5), '.max_epochs=2.5: '),
    (dict(max_epochs='abc'), ".max_epochs='abc': must be"),
    (dict(max_iters=True), '.max_iters=True: must be'),
    (dict(by_epoch=True, max_epochs=3, val_interval=0), '.val_interval=0: must be'),
    (dict(type='EpochBasedTrainLop', max_epochs=3),
     ".type: 'EpochBasedTrainLop' is unknown, did you mean 'EpochBasedTrainLoop'"),
    (dict(by_epoch=True, max_epoch=7),
     ": 'max_epoch' is unknown, did you mean 'max_epochs'?"),
    (dict(type='IterBasedTrainLoop', max_epochs=7), ": 'max_epochs' is unknown"),
    (dict(by_epoch=True), '.max_epochs is missing: EpochBasedTrainLoop needs it')])
def test_mistakes(config, says):
    with pytest.raises(ConfigError) as refused:
        check_training(config, KEY)
    assert str(refused.value).startswith(KEY) and says in str(refused.value)


def test_a_loop_of_another_package_takes_what_it_likes():

    class Loop:

        def __init__(self, runner, dataloader, **options):
            pass

    LOOPS.register_module(name='LikesAnythingTrainLoop', module=Loop)
    try:
        config = dict(type='LikesAnythingTrainLoop', rounds=3)
        assert check_training(config, KEY) == config
    finally:
        LOOPS.module_dict.pop('LikesAnythingTrainLoop')

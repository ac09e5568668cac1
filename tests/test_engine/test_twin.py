"""The config of the undistilled twin, and the words of the gain."""
import pytest
from mmengine.config import Config

from autokd_mm.engine.twin import gain_in_words, twin_of

STUDENT = dict(type='ImageClassifier', backbone=dict(type='ResNet'))


@pytest.fixture
def config():
    return Config(dict(
        model=dict(type='mmrazor.FrozenTeacherDistill', architecture=STUDENT, teacher=STUDENT,
                   distiller=dict()),
        work_dir='work_dirs/found/', data_preprocessor=dict(mean=[1.]), randomness=dict(seed=None),
        custom_hooks=[dict(type='mmrazor.DistillScheduleHook'), dict(type='EMAHook'),
                      dict(type='StopDistillHook')],
        visualizer=dict(type='DetLocalVisualizer', name='visualizer'),
        optim_wrapper=dict(paramwise_cfg=dict(custom_keys={
            'architecture.backbone': dict(lr_mult=0.1), 'norm': dict(decay_mult=0.)})),
        train_cfg=dict(max_epochs=3), val_evaluator=dict(type='Accuracy')))


def test_twin_is_the_student_alone(config):
    before = config.to_dict()
    twin = twin_of(config, 7)
    assert twin.model.type == 'ImageClassifier' and 'architecture' not in twin.model
    assert twin.model.data_preprocessor.mean == [1.] and twin.data_preprocessor is None
    assert twin.work_dir == 'work_dirs/found/twin' and twin.experiment_name == 'twin_of_found'
    assert [hook.type for hook in twin.custom_hooks] == ['EMAHook']
    assert twin.visualizer.name == 'visualizer_twin' and twin.randomness.seed == 7
    assert list(twin.optim_wrapper.paramwise_cfg.custom_keys) == ['backbone', 'norm']
    assert twin.train_cfg == config.train_cfg and config.to_dict() == before


def test_words(config):
    both = {'accuracy/top1': 91.5, 'time': 1.0}, {'accuracy/top1': 90.0, 'time': 2.0}
    assert gain_in_words(config, *both) == [
        'accuracy/top1: distilled 91.5000, undistilled twin 90.0000, gain +1.5000']
    config.val_evaluator = dict(type='OfMine')
    assert [line.rpartition(', ')[2] for line in gain_in_words(config, *both)] == [
        'difference +1.5000', 'difference -1.0000']
    assert 'no metric' in gain_in_words(config, {}, both[1])[0]

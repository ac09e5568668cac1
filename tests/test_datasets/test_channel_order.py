"""Images that no step of the pipeline reads come as RGB."""
import pytest
from mmengine.config import Config

from autokd_mm.datasets.channel_order import settle_order


def pair(steps=('PackInputs', ), to_rgb=False, teacher_to_rgb=True, **model):
    pipeline = [dict(type=step) for step in steps]
    return Config(dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(
            type='CIFAR10', pipeline=pipeline))),
        model=dict(type='mmrazor.FrozenTeacherDistill', architecture=dict(
            type='ImageClassifier', data_preprocessor=dict(to_rgb=to_rgb)),
            teacher=dict(type='ImageClassifier', data_preprocessor=dict(to_rgb=teacher_to_rgb)),
            **model)))


def test_a_teacher_of_files_is_told():
    said, config = [], pair()
    settle_order(config, said.append)
    assert config.model.teacher_input == dict(order='rgb')
    assert "model.teacher_input.order='rgb': the pipeline reads no files" in said[-1]
    again = list(said)
    settle_order(config, said.append)  # as it is written into a found config
    assert said == again
    config = pair(teacher_input=dict(size=32))
    settle_order(config, said.append)
    assert config.model.teacher_input == dict(size=32, order='rgb')


@pytest.mark.parametrize('config', [
    pair(steps=('LoadImageFromFile', 'PackInputs')), pair(to_rgb=True),
    pair(teacher_to_rgb=False), pair(teacher_input=dict(order='bgr'))])
def test_otherwise_nothing_changes(config):
    before = config.model.get('teacher_input')
    settle_order(config, pytest.fail)
    assert config.model.get('teacher_input') == before

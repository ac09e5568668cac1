import copy

import pytest
from mmengine.config import Config

from autokd_mm.errors import ConfigError
from autokd_mm.pairs.forms import as_frozen, read_forms, refuse_without_launcher

NETWORK = dict(type='X', data_preprocessor=dict(mean=[1.0]))


def config(train='mmrazor.SearchLoop', **model):
    return Config(dict(
        model=dict(dict(type='SingleTeacherDistill', architecture=copy.deepcopy(NETWORK),
                        teacher=copy.deepcopy(NETWORK)), **model),
        train_cfg=dict(type=train)))


def test_a_search_takes_mmrazors_algorithms_as_ours():
    for kind in ('SingleTeacherDistill', 'mmrazor.FpnTeacherDistill'):
        said, found = [], config(type=kind, teacher_norm_eval=False)
        read_forms(found, said.append)
        assert found.model.type == 'mmrazor.FrozenTeacherDistill'
        assert 'teacher_norm_eval' not in found.model
        assert said == [f'model.type: {kind} is read as mmrazor.FrozenTeacherDistill, whose '
                        'teacher is frozen']


def test_a_training_stays_mmrazors():
    found = config('EpochBasedTrainLoop', teacher_trainable=True)
    before = found.to_dict()
    read_forms(found, pytest.fail)
    assert found.to_dict() == before


@pytest.mark.parametrize('argument', [
    dict(teacher_trainable=True), dict(student_trainable=False),
    dict(calculate_student_loss=False)])
def test_what_a_search_cannot_do(argument):
    with pytest.raises(ConfigError, match=f'^model.{next(iter(argument))}'):
        read_forms(config(**argument), [].append)


def test_a_loop_of_a_base_in_mmrazors_scope_builds_the_configs_own_datasets():
    """``_base_ = 'mmrazor::distill/...'`` marks the loops; a name without a package stays where it
    was."""
    found = config('mmrazor.SearchLoop')
    found.merge_from_dict(dict(val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
                               test_cfg=dict(type='TestLoop')))
    for key in ('train_cfg', 'val_cfg', 'test_cfg'):
        found[key]['_scope_'] = 'mmrazor'
    read_forms(found, [].append)
    assert [found[key].get('_scope_') for key in ('train_cfg', 'val_cfg', 'test_cfg')] \
        == [None, None, 'mmrazor']


def test_a_classifier_in_mmrazors_scope_finds_its_preprocessor():
    network = dict(type='mmpretrain.ImageClassifier', backbone=dict(type='mmpretrain.ResNet'))
    found = config('x', _scope_='mmrazor', architecture=network,
                   teacher=dict(network, backbone=dict(type='CifarResNet')))
    read_forms(found)
    assert found.model.architecture._scope_ == 'mmpretrain'
    assert '_scope_' not in found.model.teacher  # its backbone is MMRazor's


def test_the_one_at_the_top_is_not_dropped_silently():
    said, found = [], config('x')
    found.data_preprocessor = dict(mean=[2.0])
    read_forms(found, said.append)
    assert len(said) == 1 and said[0].startswith('data_preprocessor: ')
    found.data_preprocessor = dict(mean=[1.0])
    read_forms(found, pytest.fail)


def test_no_model():
    found = Config(dict(a=1))
    read_forms(found)
    assert found.to_dict() == dict(a=1)
    other = config(type='mmrazor.FrozenTeacherDistill')
    as_frozen(other, pytest.fail)


def test_data_free():
    with pytest.raises(ConfigError, match='dist_train.sh'):
        refuse_without_launcher(config(type='mmrazor.DataFreeDistillation'), 'none')
    refuse_without_launcher(config(type='mmrazor.DataFreeDistillation'), 'pytorch')
    refuse_without_launcher(config(), 'none')

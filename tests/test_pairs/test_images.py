import copy

import pytest
import torch
from dense_tasks import retinanet
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict

from autokd_mm.pairs.images import (alone, as_one_dict, preprocessor_of, settle, student_alone,
                                    teachers_alone)
from autokd_mm.registry import MODELS

A, B, C = (dict(type='mmdet.DetDataPreprocessor', mean=[float(i)]) for i in (1, 2, 3))


def config(algorithm=None, student=None, top=None, teacher=None):
    return ConfigDict(data_preprocessor=top, model=ConfigDict(
        type='mmrazor.FrozenTeacherDistill', data_preprocessor=algorithm,
        architecture=dict(type='mmdet.RetinaNet', data_preprocessor=student),
        teacher=dict(type='mmdet.RetinaNet', data_preprocessor=teacher)))


@pytest.mark.parametrize('places, right', [
    ((A, B, C), A), ((None, B, C), B), ((None, None, C), C), ((A, None, C), A), ((A, B, None), A),
    ((None, None, None), None)])
def test_precedence(places, right):
    found = config(*places)
    assert preprocessor_of(found) == right
    for _ in range(2):  # settling what is settled changes nothing
        settle(found)
        assert preprocessor_of(found) == right
        assert as_one_dict(student_alone(found)).get('data_preprocessor') == right
        assert as_one_dict(teachers_alone(found)[0]).get('data_preprocessor') == right
        # What MMEngine's runner and MMRazor's algorithm make of it.
        given = found.model.get('data_preprocessor') or found.model.architecture.data_preprocessor
        assert given == right


def test_a_teacher_keeps_its_own():
    assert teachers_alone(config(A, B, C, teacher=dict(mean=[4.0])))[0].data_preprocessor == dict(
        mean=[4.0])
    several = config(A)
    several.model.teacher = dict(type='mmrazor.Teachers', teachers=[
        several.model.teacher, dict(several.model.teacher, data_preprocessor=B)])
    found = [as_one_dict(one)['data_preprocessor'] for one in teachers_alone(several)]
    assert found == [A, B]


def test_a_plain_config_stays_as_it_is():
    found = config(student=A, teacher=B)
    before = copy.deepcopy(found)
    settle(found)
    assert found == before


def test_without_a_type_it_is_the_networks_to_say():
    found = config(algorithm=dict(mean=[1.0]), student=B)
    settle(found)
    assert found.model.data_preprocessor is None
    assert found.model.architecture.data_preprocessor == dict(mean=[1.0])


@pytest.mark.parametrize('kind', [{}, dict(type='mmpretrain.ClsDataPreprocessor')])
@pytest.mark.parametrize('place', ['algorithm', 'top'])
def test_a_classifier_that_mixes_images_does_so_in_both_or_in_none(kind, place):
    """The distilled student and its twin."""
    network = dict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain', backbone=dict(
        type='mmrazor.CifarResNet', depth=8, base_channels=4, in_channels=1, shortcut='pad'),
        train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)))
    found = ConfigDict(data_preprocessor=None, model=dict(
        type='mmrazor.FrozenTeacherDistill', architecture=network, teacher=copy.deepcopy(network),
        distiller=dict(type='mmrazor.ConfigurableDistiller')))
    own = ConfigDict(kind, num_classes=10, mean=[2.0], std=[4.0])
    dict(algorithm=found.model, top=found)[place].data_preprocessor = own
    settle(found)
    together = MODELS.build(copy.deepcopy(found.model))
    twin = MODELS.build(student_alone(found))
    mixed = [getattr(one.data_preprocessor, 'batch_augments', None) is not None
             for one in (together, twin)]
    assert mixed == [place == 'top' or not kind] * 2
    assert twin.data_preprocessor.mean.item() == 2.0


def test_a_classifier_takes_a_preprocessor_of_mmengine():
    network = ConfigDict(type='mmpretrain.ImageClassifier', _scope_='mmpretrain', backbone=dict(
        type='mmrazor.CifarResNet', depth=8, base_channels=4, in_channels=1, shortcut='pad'))
    built = MODELS.build(alone(network, dict(type='ImgDataPreprocessor', mean=[2.0], std=[4.0])))
    images = built.data_preprocessor(dict(inputs=[torch.full((1, 8, 8), 10, dtype=torch.uint8)]))
    assert torch.equal(images['inputs'], torch.full((1, 1, 8, 8), 2.0))


@pytest.mark.parametrize('place', ['algorithm', 'top', 'student'])
def test_detectors_see_the_same_images_alone(place):
    """What the search hears of the teacher, and what the student says, are their own words."""
    networks = [retinanet(channels) for channels in (4, 8)]
    own = networks[0]['data_preprocessor']
    for network in networks:
        network['data_preprocessor'] = None
    found = ConfigDict(model=ConfigDict(
        type='mmrazor.FrozenTeacherDistill', architecture=networks[0], teacher=networks[1],
        distiller=dict(type='mmrazor.ConfigurableDistiller')))
    dict(algorithm=found.model, top=found,
         student=found.model.architecture)[place].data_preprocessor = own
    settle(found)
    model = MODELS.build(copy.deepcopy(found.model)).eval()
    rng = torch.Generator().manual_seed(0)
    batch = dict(inputs=[torch.randint(0, 256, (3, 40, 56), generator=rng, dtype=torch.uint8)],
                 data_samples=[DetDataSample(metainfo=dict(img_shape=(40, 56)))])
    ready = model.data_preprocessor(copy.deepcopy(batch), False)
    assert model.to_teacher is None
    for together, config in ((model.architecture, student_alone(found)),
                             (model.teacher, teachers_alone(found)[0])):
        alone_ = MODELS.build(config).eval()
        alone_.load_state_dict(together.state_dict())
        inputs = alone_.data_preprocessor(copy.deepcopy(batch), False)['inputs']
        assert inputs.shape[-2:] == (64, 64)  # padded, too
        with torch.no_grad():
            for left, right in zip(alone_(inputs, mode='tensor'),
                                   together(ready['inputs'], mode='tensor')):
                assert all(map(torch.equal, left, right))

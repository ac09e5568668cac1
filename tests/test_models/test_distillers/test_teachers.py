"""Pairs of layers with several teachers, and the distillers that listen to some of them."""
from dataclasses import replace

import pytest

from autokd_mm.models.distillers import (LayerPair, Layers, distiller_config, loss_schedules,
                                         spec_from_config)
from autokd_mm.models.distillers.teachers import (features_of, heard_teachers, logits_of,
                                                  number_of, with_own_logits)
from autokd_mm.space import DistillerSpace, DistillerSpec, LayerwiseSpec, Shapes
from autokd_mm.space.handcrafted import HANDCRAFTED

MAP, CLASSES = (64, 8, 8), (10, 1, 1)
AT, KD = HANDCRAFTED['AT'], HANDCRAFTED['KD']
FEATURES = tuple(LayerPair(f'feature_{place}', 'backbone.layer3', source, MAP, MAP, factor)
                 for place, (source, factor) in enumerate([
                     ('0.layer2', 0.2), ('1.layer3', 0.5), ('0.layer3', 0.3)]))
MEAN = LayerPair('logits', 'head.fc', 'mean_logits', CLASSES, CLASSES)
BOTH = with_own_logits(Layers(FEATURES, (MEAN, ), several=True), ('head.fc', 'head.layers.fc'))
SHAPES = Shapes(feature_teachers=(('0', *MAP, True, 64), ('1', *MAP, True, 64)),
                logits_teachers=('0', '1'))
FEW = dict(transform=['logits_only', 'none'], connector=['identity', 'conv1x1'],
           intra=['none', 'local'], patch_grid=[2], inter=['none'], distance=['l2'],
           feature_weight=[25], logits=['none', 'kl'], logits_temperature=[4], logits_weight=[0.5])


def test_number_of():
    assert [number_of(source) for source in ('0.layer3', '12.neck[2]', 'mean_logits', 'layer3',
                                             'backbone.0.conv')] == ['0', '12', None, None, None]


def test_features_of_one_have_factors_of_their_own():
    assert features_of(BOTH, None) == BOTH.pairs and features_of(BOTH, '7') == ()
    alone = features_of(BOTH, '0')
    assert [pair.name for pair in alone] == ['feature_0', 'feature_2']
    assert [pair.factor for pair in alone] == pytest.approx([0.4, 0.6])
    assert [pair.factor for pair in features_of(BOTH, '1')] == [1]


def test_the_mean_has_the_logits_of_each_beside_it():
    assert BOTH.logits == logits_of(BOTH, None) == (MEAN, )
    assert BOTH.sources('teacher') == dict(
        feature_0='0.layer2', feature_1='1.layer3', feature_2='0.layer3', logits='mean_logits',
        logits_0='0.head.fc', logits_1='1.head.layers.fc')
    assert set(BOTH.sources('student')) == {'feature_0', 'feature_1', 'feature_2', 'logits'}
    assert logits_of(BOTH, '1') == (replace(MEAN, name='logits_1', teacher='1.head.layers.fc'), )


def test_logits_that_are_compared_apart_are_there_already():
    apart = tuple(replace(MEAN, name=f'logits_{number}', teacher=f'{number}.head.fc', factor=0.5)
                  for number in (0, 1))
    layers = with_own_logits(Layers(FEATURES, apart, several=True), ())
    assert layers.own_logits == () and logits_of(layers, None) == apart
    assert logits_of(layers, '1') == (replace(apart[1], factor=1), )  # the whole weight
    config = distiller_config(replace(KD, logits_teacher='1'), layers)
    assert config['distill_losses']['loss_logits_1']['loss_weight'] == KD.logits_weight
    mixed = tuple(replace(MEAN, name=name, teacher=source, factor=0.5) for name, source in (
        ('logits_0', 'mean_logits'), ('logits_1', '0.head.fc')))
    layers = with_own_logits(Layers(FEATURES, mixed, several=True), ('head.fc', 'head.fc'))
    assert [(pair.name, pair.teacher) for pair in layers.own_logits] == [('logits_3', '1.head.fc')]
    for number, name in (('0', 'logits_1'), ('1', 'logits_3')):
        pair, = logits_of(layers, number)
        assert pair.name == name and pair.factor == 1


def test_every_distiller_is_written_and_read_back():
    specs = list(DistillerSpace(FEW, SHAPES).enumerate())
    for spec in specs:
        config = distiller_config(spec, BOTH)
        assert spec_from_config(config, BOTH) == spec
        losses = config['distill_losses']
        weight = sum(loss['loss_weight'] for name, loss in losses.items() if 'feature' in name)
        assert weight == pytest.approx(25 if spec.has_feature else 0)
        assert set(config['teacher_recorders']) == {name[len('loss_'):] for name in losses}
        wanted = {teacher for has, teacher in ((spec.has_feature, spec.feature_teacher),
                                               (spec.has_logits, spec.logits_teacher)) if has}
        assert set(heard_teachers(config, 2)) == (
            {0, 1} if None in wanted else {int(teacher) for teacher in wanted})
    assert {spec.logits_teacher for spec in specs} == {None, '0', '1'}


def test_layers_of_their_own_with_the_logits_of_one():
    layers = replace(BOTH, shared=False)
    out = DistillerSpec('left_out')
    spec = LayerwiseSpec((('feature_0', out), ('feature_1', AT), ('feature_2', out)), 'kl', 4, 1,
                         logits_teacher='1')
    config = distiller_config(spec, layers)
    assert spec_from_config(config, layers) == spec and heard_teachers(config, 2) == [1]


def test_schedules_are_of_the_losses_that_there_are():
    spec = replace(KD, logits_schedule='cosine', logits_teacher='1')
    assert loss_schedules(spec, BOTH) == dict(loss_logits_1='cosine')
    spec = replace(AT, feature_schedule='linear', feature_teacher='1')
    assert loss_schedules(spec, BOTH) == dict(loss_feature_1='linear')


def test_a_network_whose_modules_have_numbers_is_one_teacher():
    """As in nn.Sequential."""
    layers = Layers(FEATURES, (replace(MEAN, teacher='2'), ))
    spec = replace(AT, logits='kl', logits_temperature=4, logits_weight=1)
    assert spec_from_config(distiller_config(spec, layers), layers) == spec

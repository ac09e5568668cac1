"""Which of several teachers a branch listens to, as levels of the space."""
from dataclasses import replace

import optuna
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.space import (LEVELS, DistillerSpace, DistillerSpec, LayerwiseSpace, LayerwiseSpec,
                             Shapes, spec_from_dict)
from autokd_mm.space.handcrafted import HANDCRAFTED, starting_point
from autokd_mm.space.layerwise_spec import columns
from autokd_mm.space.teachers import TEACHER_LEVELS

FEW = dict(transform=['logits_only', 'none'], connector=['identity', 'conv1x1'], intra=['none'],
           inter=['none'], distance=['l2'], feature_weight=[1], logits=['none', 'kl'],
           logits_temperature=[4], logits_weight=[1])
EQUAL = ('0', 64, 8, 8, True, 64), ('1', 64, 8, 8, True, 64)
TWO = Shapes(feature_teachers=EQUAL, logits_teachers=('0', '1'))
# The second is wider, and its map is too small for patches.
UNEQUAL = replace(TWO, same=False, feature_teachers=(
    ('0', 64, 8, 8, True, 64), ('1', 128, 1, 1, False, 64)))
KD, AT = HANDCRAFTED['KD'], HANDCRAFTED['AT']


def test_all_is_no_other_distiller():
    same = replace(AT, feature_teacher='all', logits_teacher='all')
    assert same == AT and hash(same) == hash(AT) and same.to_dict() == AT.to_dict()
    assert replace(KD, logits_teacher=1) == replace(KD, logits_teacher='1') != KD
    layers = (('feature_0', AT), )
    assert LayerwiseSpec(layers, logits_teacher='all') == LayerwiseSpec(layers)


def test_in_words_and_back():
    spec = replace(AT, feature_teacher='0', logits='kl', logits_teacher='1', logits_temperature=4,
                   logits_weight=1)
    assert spec.in_words() == (f'{AT.in_words()} of teacher 0 + {KD.in_words()} of teacher 1')
    assert DistillerSpec.from_dict(spec.to_dict()) == spec
    assert spec.feature_branch == replace(AT, feature_teacher='0')
    own = LayerwiseSpec((('feature_0', AT), ), logits='kl', logits_teacher='1',
                        logits_temperature=4, logits_weight=1)
    assert own.in_words().endswith(f'+ {KD.in_words()} of teacher 1')
    assert spec_from_dict(own.to_dict()) == own


def test_columns_where_some_distiller_names_a_teacher():
    plain = columns([AT.to_dict(), KD.to_dict()])
    assert not set(TEACHER_LEVELS) & set(plain)
    named = columns([AT.to_dict(), replace(KD, logits_teacher='1').to_dict()])
    assert set(named) - set(plain) == {'logits_teacher'}


@pytest.mark.parametrize('options', [{}, dict(feature_teacher=['all'], logits_teacher='all')])
def test_a_space_with_one_teacher_is_what_it_was(options):
    space = DistillerSpace(dict(FEW, **options))
    assert not set(TEACHER_LEVELS) & {level for level, _ in space.levels()}
    assert not any('teacher' in name for spec in space.enumerate() for name in space.params(spec))
    assert DistillerSpace(dict(FEW, feature_teacher=['all'], logits_teacher=['all']),
                          TWO).levels() == DistillerSpace(FEW).levels()


@pytest.mark.parametrize('shapes, features', [(TWO, 3 * 2), (UNEQUAL, 1 + 2 + 1)])
def test_count_enumerate_and_questions(shapes, features):
    """Features of all, 0 or 1; no logits, or those of all, 0 or 1. Identity fits equal shapes."""
    space = DistillerSpace(FEW, shapes)
    specs = list(space.enumerate())
    assert space.count() == len(set(specs)) == len(specs) == features * (1 + 3) + 3
    assert len({spec.in_words() for spec in specs}) == len(specs)
    levels = dict(space.levels())
    assert list(levels) == [level for level in LEVELS if level in levels]  # as they are asked
    assert levels['feature_teacher'] == levels['logits_teacher'] == ('all', '0', '1')
    for spec in specs:
        params = space.params(spec)
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec
        assert ('feature_teacher' in params) == spec.has_feature
        assert ('logits_teacher' in params) == spec.has_logits


def test_a_teacher_allows_what_its_own_tensors_allow():
    few = dict(transform=['none'], feature_weight=[1], logits=['none'])
    space = DistillerSpace(few, UNEQUAL)
    found = {teacher: [spec for spec in space.enumerate() if spec.feature_teacher == teacher]
             for teacher in (None, '0', '1')}
    assert {spec.connector for spec in found['0']} == {'identity', 'conv1x1', 'conv1x1_bn',
                                                       'conv3x3'}
    assert 'identity' not in {spec.connector for spec in found[None] + found['1']}
    assert {spec.intra for spec in found[None]} == {'none', 'multi_scale', 'local'}
    assert {spec.intra for spec in found['1']} == {'none'}
    only = DistillerSpace(dict(FEW, connector=['identity'], logits=['none']), UNEQUAL)
    assert [spec.feature_teacher for spec in only.enumerate()] == ['0']


def test_one_teacher_alone_whose_maps_allow_less_than_those_of_all():
    """A transform that none of the offered ones has is left out before they are asked for."""
    few = dict(FEW, transform=['none', 'spatial_attention'], logits=['none'])
    said = []
    space = DistillerSpace(dict(few, feature_teacher=['1']), UNEQUAL, said.append)
    assert {(spec.transform, spec.feature_teacher) for spec in space.enumerate()} == {('none', '1')}
    assert 'transform=spatial_attention is left out: cannot work: the feature has one position' \
        in said
    both = DistillerSpace(dict(few, feature_teacher=['0', '1']), UNEQUAL)
    assert {(spec.transform, spec.feature_teacher) for spec in both.enumerate()} == {
        ('none', '0'), ('none', '1'), ('spatial_attention', '0')}


def test_the_default_space_with_two_teachers():
    """Features F, logits L: F (1 + L) + L become 3 F (1 + 3 L) + 3 L."""
    plain, logits = 506_544, 64
    features = (plain - logits) // (1 + logits)
    assert DistillerSpace(shapes=TWO).count() == 3 * features * (1 + 3 * logits) + 3 * logits \
        == 4_511_760


def test_layers_of_their_own_share_the_teacher_of_the_logits():
    layers = dict(a=Shapes(logits_teachers=('0', '1')), b=Shapes(logits_teachers=('0', '1')))
    space = LayerwiseSpace(FEW, layers)
    specs = list(space.enumerate())
    assert space.count() == len(set(specs)) == len(specs) == 9 * (1 + 3) - 1
    assert dict(space.levels())['logits_teacher'] == ('all', '0', '1')
    assert 'feature_teacher' not in dict(space.levels())
    for spec in specs:
        assert space.suggest(optuna.trial.FixedTrial(space.params(spec))) == spec
    spread = starting_point(dict(method='KD', logits_teacher='1'), space)
    assert spread.logits_teacher == '1' and spread in set(specs)


def test_a_method_is_given_a_teacher():
    space = DistillerSpace(shapes=UNEQUAL)
    assert starting_point(dict(method='KD', logits_teacher=1), space) == replace(
        KD, logits_teacher='1')
    for teacher, connector in (('0', 'identity'), ('1', 'conv1x1'), ('all', 'conv1x1')):
        found = starting_point(dict(method='FitNet', feature_teacher=teacher), space)
        assert found.connector == connector and space.params(found)['feature_teacher'] == teacher


@pytest.mark.parametrize('shapes, options, message', [
    (TWO, dict(feature_teacher=[2]), "space.feature_teacher: '2' is unknown. Valid: all, 0, 1"),
    (TWO, dict(logits_teacher=['al']), "space.logits_teacher: 'al' is unknown, did you mean 'all'? "
                                       'Valid: all, 0, 1'),
    (Shapes(), dict(feature_teacher=['all', '0']),
     "space.feature_teacher='0' needs several teachers, each heard there; did you mean 'all'?"),
    (TWO, dict(feature_teacher=[[0]]),
     "space.feature_teacher: [0] is no teacher; name one by its number, or 'all'"),
    (TWO, dict(logits_teacher=None),
     "space.logits_teacher: None is no teacher; name one by its number, or 'all'")])
def test_wrong_options(shapes, options, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(options, shapes)
    assert str(info.value) == message


def test_wrong_options_of_layers_of_their_own():
    with pytest.raises(ConfigError, match="^space.feature_teacher=.'0'.: every layer has options"):
        LayerwiseSpace(dict(feature_teacher=['0']), dict(a=TWO, b=TWO))


def test_a_method_that_hears_all_where_one_alone_is_offered():
    with pytest.raises(ConfigError, match="^distiller option logits_teacher='all' is not a point "
                                          "of this space; it offers '0' there$"):
        DistillerSpace(dict(logits_teacher=[0]), TWO).params(KD)


@pytest.mark.parametrize('shapes, spec, message', [
    (TWO, replace(KD, logits_teacher='7'), "logits_teacher: '7' is unknown. Valid: all, 0, 1"),
    (TWO, replace(KD, feature_teacher='0'),
     "feature_teacher='0' means nothing beside the other options; leave it out"),
    (Shapes(), replace(KD, logits_teacher='0'),
     "logits_teacher='0' needs several teachers, each heard there; did you mean 'all'?")])
def test_a_spec_outside_the_space(shapes, spec, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(shapes=shapes).params(spec)
    assert str(info.value) == f'distiller option {message}'

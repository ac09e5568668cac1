import json
from dataclasses import replace

import pytest

from autokd_mm.space import LEVELS, DistillerSpec, LayerwiseSpec, spec_from_dict
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.space.layerwise_spec import columns
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.start import START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS

OUT = DistillerSpec('left_out')
AT, MGD = HANDCRAFTED['AT'], HANDCRAFTED['MGD']
FEATURES = LayerwiseSpec((('feature_0', AT), ('feature_1', OUT), ('feature_2', MGD)))
BOTH = LayerwiseSpec((('feature_0', AT), ('feature_1', MGD)), 'kl', 4, 0.5)
LOGITS = LayerwiseSpec((('feature_0', OUT), ('feature_1', OUT)), 'pearson_both', 1, 5)
FADING = LayerwiseSpec((('feature_0', replace(AT, feature_schedule='linear')), ('feature_1', OUT)),
                       'kl', 4, 0.5, 'off_third')
SPECS = [FEATURES, BOTH, LOGITS, FADING]


@pytest.mark.parametrize('spec', SPECS)
def test_to_dict_and_back(spec):
    values = json.loads(json.dumps(spec.to_dict()))
    assert spec_from_dict(values) == LayerwiseSpec.from_dict(values) == spec
    assert None not in values.values() and hash(spec) == hash(spec_from_dict(values))


def test_the_names_in_a_dict():
    assert LOGITS.to_dict() == {
        'feature_0/transform': 'left_out', 'feature_1/transform': 'left_out',
        'logits': 'pearson_both', 'logits_temperature': 1, 'logits_weight': 5}
    assert FEATURES.to_dict()['feature_2/mask_ratio'] == 0.5
    assert spec_from_dict(AT.to_dict()) == AT


@pytest.mark.parametrize('spec, feature, logits', [
    (FEATURES, True, False), (BOTH, True, True), (LOGITS, False, True), (FADING, True, True)])
def test_what_is_distilled(spec, feature, logits):
    assert (spec.has_feature, spec.has_logits) == (feature, logits)
    assert spec.logits_branch.has_logits == logits and not spec.logits_branch.has_feature


@pytest.mark.parametrize('spec, words', [
    (FEATURES, 'feature_0: spatial attention > l2 x5 + feature_2: random mask 0.5 > l2 x1'),
    (BOTH, 'feature_0: spatial attention > l2 x5 + feature_1: random mask 0.5 > l2 x1'
           ' + logits kl (T=4) x0.5'),
    (LOGITS, 'logits pearson_both (T=1) x5'),
    (FADING, 'feature_0: spatial attention > l2 x5 fading (linear) + logits kl (T=4) x0.5 for the '
             'first third')])
def test_in_words(spec, words):
    assert spec.in_words() == words


@pytest.mark.parametrize('values, message', [
    ({'feature_0/distnace': 'l2'}, "distiller option feature_0/'distnace' is unknown, did you mean "
                                   "'distance'?"),
    ({'feature_0/transform': 'none', 'distance': 'l2'}, "distiller option 'distance' is unknown"),
    ({'feature_0/logits': 'kl'}, "distiller option feature_0/'logits' is unknown"),
    ({'feature_0/distance': 'l2'}, 'distiller option feature_0/transform is missing'),
])
def test_mistakes(values, message):
    with pytest.raises(ValueError) as info:
        spec_from_dict(values)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_columns():
    assert columns([AT.to_dict(), {}]) == columns([]) == tuple(
        level for level in LEVELS
        if level not in (*SCHEDULE_LEVELS, *TEACHER_LEVELS, *PREDICTION_LEVELS, *START_LEVELS))
    found = columns(spec.to_dict() for spec in (LOGITS, BOTH, FEATURES))
    assert len(set(found)) == len(found) == 3 * 11 + 3
    assert all(set(spec.to_dict()) <= set(found) for spec in (LOGITS, BOTH, FEATURES))
    assert found[0] == 'feature_0/transform' and found[-1] == 'logits_weight'


def test_schedules_have_columns_where_a_distiller_has_one():
    fading = replace(AT, feature_schedule='cosine')
    levels = [level for level in LEVELS
              if level not in (*TEACHER_LEVELS, *PREDICTION_LEVELS, *START_LEVELS)]
    assert columns([AT.to_dict(), fading.to_dict()]) == tuple(levels[:-1])
    assert levels[-1] == 'logits_schedule'
    found = columns([replace(BOTH, layers=(('feature_0', AT), ('feature_1', fading))).to_dict(),
                     replace(BOTH, logits_schedule='linear').to_dict()])
    assert [name for name in found if 'schedule' in name] == ['feature_1/feature_schedule',
                                                              'logits_schedule']
    assert found.index('feature_1/feature_schedule') == 1 + found.index('feature_1/feature_weight')


def test_the_branches_of_a_distiller():
    whole = DistillerSpec(**dict(AT.to_dict(), logits='kl', logits_temperature=4, logits_weight=1))
    assert whole.feature_branch == AT and HANDCRAFTED['KD'].feature_branch == OUT
    assert not OUT.has_feature and not OUT.has_logits

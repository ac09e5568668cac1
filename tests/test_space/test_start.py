"""Where the student starts, as levels of the space."""
from dataclasses import replace

import optuna
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.space import (LEVELS, DistillerSpace, DistillerSpec, LayerwiseSpace, LayerwiseSpec,
                             Shapes, spec_from_dict)
from autokd_mm.space.handcrafted import HANDCRAFTED, WITH_HEADS, handcrafted, starting_point
from autokd_mm.space.layerwise_spec import columns
from autokd_mm.space.start import OWN, START_LEVELS, in_words

FEW = dict(transform=['logits_only', 'none'], connector=['identity'], intra=['none'],
           inter=['none'], distance=['l2'], feature_weight=[1, 25], logits=['none', 'kl'],
           logits_temperature=[4], logits_weight=[1])
FITS = Shapes(starts=('head', 'neck_head'))
CLASSIFIES = Shapes(starts=('classifier', ))
KD, AT = HANDCRAFTED['KD'], HANDCRAFTED['AT']
ALONE = DistillerSpec('logits_only', start='head')
COPIES = 2 * 3  # parts, rates


# ---------------------------------------------------------------------- points
def test_own_is_no_other_distiller():
    same = replace(AT, start=OWN)
    assert same == AT and hash(same) == hash(AT) and same.to_dict() == AT.to_dict()
    assert same.in_words() == AT.in_words()
    layers = (('feature_0', AT), )
    assert LayerwiseSpec(layers, start=OWN) == LayerwiseSpec(layers)


def test_a_part_learns_at_the_full_rate_unless_something_is_said():
    assert replace(KD, start='head') == replace(KD, start='head', start_lr=1)
    assert LayerwiseSpec((('a', AT), ), start='head').start_lr == 1


@pytest.mark.parametrize('start, rate, words', [
    (None, None, ''), (OWN, None, ''), ('neck_head', 1, "the teacher's neck and head"),
    ('head', 0.1, "the teacher's head (learning rate x0.1)"),
    ('classifier', 0, "the teacher's classifier (frozen)")])
def test_in_words(start, rate, words):
    assert in_words(start, rate) == words
    spec = replace(KD, start=start, start_lr=rate)
    assert spec.in_words() == ' + '.join(filter(None, [KD.in_words(), words]))
    layers = LayerwiseSpec((('feature_0', AT), ), start=start, start_lr=rate)
    assert layers.in_words() == ' + '.join(filter(None, [f'feature_0: {AT.in_words()}', words]))
    assert spec.feature_branch == DistillerSpec('left_out')
    assert replace(AT, start=start, start_lr=rate).feature_branch == AT


def test_a_start_without_a_loss():
    assert ALONE.in_words() == "the teacher's head alone" and not ALONE.distils
    assert KD.distils and AT.distils and not LayerwiseSpec((), start='head').distils
    assert spec_from_dict(ALONE.to_dict()) == ALONE


def test_columns_where_some_distiller_has_a_start():
    plain = columns([AT.to_dict(), KD.to_dict()])
    assert not set(START_LEVELS) & set(plain)
    assert columns([AT.to_dict(), ALONE.to_dict()]) == plain + START_LEVELS
    own = LayerwiseSpec((('feature_0', AT), ), start='head', start_lr=0)
    assert columns([own.to_dict()])[-2:] == START_LEVELS
    assert LayerwiseSpec.from_dict(own.to_dict()) == own


# ---------------------------------------------------------------------- spaces
def test_a_space_in_which_nothing_fits_is_what_it_was():
    for options in (FEW, dict(FEW, start=OWN), dict(FEW, start=[OWN, 'head'])):
        space = DistillerSpace(options)
        assert not set(START_LEVELS) & {level for level, _ in space.levels()}
        assert not any('start' in name for spec in space.enumerate()
                       for name in space.params(spec))
    assert DistillerSpace(dict(FEW, start=OWN), FITS).levels() == DistillerSpace(FEW).levels()


@pytest.mark.parametrize('logits', [True, False])
def test_count_enumerate_and_questions(logits):
    space = DistillerSpace(FEW, replace(FITS, has_logits=logits))
    specs = list(space.enumerate())
    losses = 2 * (1 + logits) + logits
    assert space.count() == len(set(specs)) == len(specs) == losses * (1 + COPIES) + COPIES
    assert sum(not spec.distils for spec in specs) == COPIES
    assert len({spec.in_words() for spec in specs}) == len(specs)
    assert space.levels()[-2:] == [('start', ('own', 'head', 'neck_head')),
                                   ('start_lr', (1, 0.1, 0))]
    for spec in specs:
        params = space.params(spec)
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec
        assert DistillerSpec.from_dict(spec.to_dict()) == spec
        # Where nothing is distilled the student's own start is not among the choices.
        assert ('start(head|neck_head)' in params) == (not spec.distils)
        assert ('start_lr' in params) == (spec.start is not None)


def test_the_default_space_grows_by_what_fits():
    """Starts s: losses n (1 + 3 s), and 3 s without a loss."""
    plain = 506_544
    assert DistillerSpace(shapes=Shapes(starts=('classifier', ))).count() == 4 * plain + 3
    assert DistillerSpace(shapes=FITS).count() == 7 * plain + 6 == 3_545_814
    assert DistillerSpace(dict(start_lr=[1]), FITS).count() == 3 * plain + 2


def test_layers_share_one_start():
    space = LayerwiseSpace(FEW, dict(a=FITS, b=replace(FITS, height=4)))
    specs = list(space.enumerate())
    branches = (1 + 2) ** 2
    losses = 2 * branches - 1  # with logits or without, but something
    assert space.count() == len(set(specs)) == losses * (1 + COPIES) + COPIES
    assert len({spec.in_words() for spec in specs}) == len(specs)
    assert [level for level, _ in space.levels()][-2:] == list(START_LEVELS)
    for spec in specs[::5]:
        assert space.suggest(optuna.trial.FixedTrial(space.params(spec))) == spec
    spread = space.spread([ALONE, ALONE])
    assert not spread.distils and spread.start == 'head' and spread in set(specs)


def test_layers_may_all_be_left_out_where_there_are_no_logits():
    layers = dict(a=replace(FITS, has_logits=False))
    specs = list(LayerwiseSpace(FEW, layers).enumerate())
    assert sum(not spec.distils for spec in specs) == COPIES
    with_own = LayerwiseSpace(dict(FEW, start=OWN), layers)
    assert all(spec.distils for spec in with_own.enumerate())


def test_warm_starts_with_and_without_a_start():
    space = DistillerSpace(shapes=FITS)
    assert starting_point('FitNet', space).start is None
    given = dict(HANDCRAFTED['FitNet'].to_dict(), start='neck_head', start_lr=0.1)
    assert space.params(starting_point(given, space))['start'] == 'neck_head'
    assert space.params(starting_point(dict(transform='logits_only', start='head'), space)) == {
        'transform': 'logits_only', 'logits': 'none', 'start(head|neck_head)': 'head',
        'start_lr': 1}


def test_a_method_is_given_a_start():
    space = DistillerSpace(shapes=FITS)
    given = dict(method='FitNet', start='neck_head', start_lr=0.1)
    found = replace(HANDCRAFTED['FitNet'], start='neck_head', start_lr=0.1)
    assert starting_point(given, space) == found
    layers = LayerwiseSpace({}, dict(a=FITS, b=replace(FITS, same=False)))
    spread = starting_point(given, layers)
    assert spread.start == 'neck_head' and layers.params(spread)
    assert [branch.connector for _, branch in spread.layers] == ['identity', 'conv1x1']
    with pytest.raises(ConfigError, match="^warm_start: beside method='KD' 'strat' is unknown"):
        starting_point(dict(method='KD', strat='head'), space)


def test_a_method_is_given_numbers():
    space = DistillerSpace(shapes=FITS)
    assert starting_point(dict(method='CWD', feature_weight=25), space) == replace(
        HANDCRAFTED['CWD'], feature_weight=25)
    found = starting_point(dict(method='KD', logits_temperature=8, logits_weight=0.5), space)
    assert found == replace(HANDCRAFTED['KD'], logits_temperature=8, logits_weight=0.5)
    layers = LayerwiseSpace({}, dict(a=FITS, b=replace(FITS, same=False)))
    spread = starting_point(dict(method='CWD', feature_weight=25), layers)
    assert [branch.feature_weight for _, branch in spread.layers] == [25, 25]
    with pytest.raises(ConfigError, match='^distiller option feature_weight=20 is not offered '
                                          'here, did you mean 25'):
        space.params(starting_point(dict(method='CWD', feature_weight=20), space))


def test_a_method_is_given_a_schedule():
    space = DistillerSpace(dict(feature_schedule=['constant', 'cosine']), FITS)
    fading = replace(HANDCRAFTED['CWD'], feature_weight=25, feature_schedule='cosine')
    given = dict(method='CWD', feature_weight=25, feature_schedule='cosine')
    assert starting_point(given, space) == fading and space.params(fading)
    assert starting_point('CWD', space) == HANDCRAFTED['CWD']


@pytest.mark.parametrize('make', [DistillerSpace, lambda options, shapes: LayerwiseSpace(
    options, dict(a=shapes))])
def test_a_method_changes_as_the_space_lets_it(make):
    space = make(dict(feature_schedule='cosine'), FITS)
    for item in 'CWD', dict(method='CWD', feature_weight=25):
        found = starting_point(item, space)
        assert getattr(found, 'layers', [('', found)])[0][1].feature_schedule == 'cosine'
        assert space.params(found)
    assert starting_point('KD', DistillerSpace(dict(feature_schedule='cosine'), FITS)) == \
        HANDCRAFTED['KD']  # it has no features
    with pytest.raises(ConfigError, match='feature_schedule'):
        space.params(starting_point(dict(method='CWD', feature_schedule='constant'), space))


@pytest.mark.parametrize('offered, taken', [
    (('identity', 'conv3x3'), 'identity'), (('conv3x3', 'conv1x1'), 'conv1x1'),
    (('conv3x3', ), 'conv3x3')])
def test_a_method_takes_a_connector_that_there_is(offered, taken):
    space = DistillerSpace(dict(connector=offered), FITS)
    found = starting_point('PKD', space)
    assert found == replace(HANDCRAFTED['PKD'], connector=taken) and space.params(found)
    assert starting_point('KD', space) == HANDCRAFTED['KD']


@pytest.mark.parametrize('item, message', [
    (dict(method='KD', feature_schedule='cosine'), "warm_start: method='KD' has no "
                                                   "feature_schedule, but logits_temperature and "
                                                   "logits_weight"),
    (dict(method='KD', feature_weight=5), "warm_start: method='KD' has no feature_weight, but "
                                          "logits_temperature and logits_weight"),
    (dict(method='AT', temperature=4), "warm_start: method='AT' has no temperature, but "
                                       "feature_weight"),
    (dict(method='KD', logits_weight='1'), "warm_start: logits_weight='1' beside method='KD': must "
                                           "be a number"),
    (dict(method='KD', logits_weight=[1]), "warm_start: logits_weight=[1] beside method='KD': must "
                                           "be a number"),
    (dict(method='KD', logits_weight=True), "warm_start: logits_weight=True beside method='KD': "
                                            "must be a number"),
    (3, "warm_start: 3 is neither the name of a method nor a dict of options; did you mean 'KD'?"),
    (['KD'], "warm_start: ['KD'] is neither the name of a method nor a dict of options; did you "
             "mean 'KD'?"),
    (dict(method=['KD']), "warm_start: method=['KD'] must be the name of a method; did you mean "
                          "'KD'?"),
    (dict(method='KD', start_lr=0.1), "warm_start: start_lr=0.1 beside method='KD' is of what is "
                                      "copied, and nothing is; did you mean start='head'?")])
def test_a_warm_start_that_says_nothing(item, message):
    with pytest.raises(ConfigError) as info:
        starting_point(item, DistillerSpace(shapes=FITS))
    assert str(info.value) == message


def test_simkd_without_its_projector():
    shapes = Shapes(starts=('classifier', ))
    point = handcrafted('SimKD-direct')
    assert DistillerSpace(shapes=shapes).params(point)['start_lr'] == 0
    with pytest.raises(ConfigError, match='SimKD is not in the space: it puts a projector'):
        handcrafted('SimKD')


def test_the_levels_come_last():
    assert LEVELS[-2:] == START_LEVELS


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize('options, message', [
    (dict(start=['hed']), "space.start: 'hed' is unknown, did you mean 'head'? Valid: own, head, "
                          'neck_head, classifier'),
    (dict(start_lr=[-1]), 'space.start_lr: -1 is not a number of at least 0; did you mean 0?'),
    (dict(start=['classifier']), "space.start: no part of the teacher fits the student in "
                                 "['classifier']; did you mean 'own'?")])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(options, FITS)
    assert str(info.value) == message


@pytest.mark.parametrize('shapes, spec, message', [
    (FITS, replace(KD, start='classifier'),
     "start='classifier' is not offered here (that part of the teacher does not fit, or "
     'space.start leaves it out). Valid: own, head, neck_head'),
    (Shapes(), ALONE, "start='head' is not offered here (that part of the teacher does not fit, or "
                      'space.start leaves it out). Valid: own'),
    (FITS, replace(KD, start='head', start_lr=0.2),
     'start_lr=0.2 is not offered here, did you mean 0.1? Valid: 1, 0.1, 0'),
    (FITS, replace(KD, start_lr=0),
     'start_lr=0 means nothing beside the other options; leave it out'),
    (FITS, DistillerSpec('logits_only', start=OWN),
     "start='own' is not offered here. Valid: head, neck_head (cannot work: nothing would be "
     'distilled)'),
    (CLASSIFIES, DistillerSpec('logits_only'),
     "start='own' is not offered here. Valid: classifier (cannot work: nothing would be "
     'distilled)'),
    (CLASSIFIES, WITH_HEADS['BCKD'],
     "prediction='weighted_bce' needs dense heads that are both understood "
     '(layers.student_predictions and layers.teacher_predictions); leave it out')])
def test_a_spec_outside_the_space(shapes, spec, message):
    with pytest.raises(ConfigError) as info:
        DistillerSpace(shapes=shapes).params(spec)
    assert str(info.value).startswith(f'distiller option {message}')


def test_an_unknown_start_that_is_read():
    for values in (dict(transform='none', start='hed'),
                   {'feature_0/transform': 'none', 'start': 'hed'}):
        with pytest.raises(ConfigError, match="^distiller option start: 'hed' is unknown, did you"):
            spec_from_dict(values)

"""The levels of dense heads' predictions: asked where there is something to compare, and nowhere
else."""
from dataclasses import replace

import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.space import DistillerSpace, DistillerSpec, LayerwiseSpace, Shapes, spec_from_dict
from autokd_mm.space.handcrafted import WITH_HEADS, handcrafted
from autokd_mm.space.layerwise_spec import columns
from autokd_mm.space.predictions import PREDICTION_LEVELS

FEW = dict(transform=('logits_only', 'none'), region=('all', ), intra=('none', ),
           inter=('none', ), distance=('l2', ), connector=('identity', ), feature_weight=(1, ),
           prediction_weight=(1, ), box_weight=(1, ), logits_temperature=(4, ),
           logits_weight=(1, ))
FEW_LAYERS = dict(transform=('logits_only', 'none'))
EVERYTHING = ('sigmoid', 'boxes', 'distributions', 'centerness')


def space(predictions, has_logits=False, boxes=True, **options):
    return DistillerSpace(dict(FEW, **options), Shapes(
        boxes=boxes, has_logits=has_logits, predictions=predictions))


def asked(found):
    return [level for level, _ in found.levels() if level in PREDICTION_LEVELS]


@pytest.mark.parametrize('predictions, branches', [
    (('sigmoid', ), 3), (('sigmoid', 'boxes'), 3 * 7), (EVERYTHING, 3 * 10 * 2)])
def test_the_teachers_head_doubles_what_is_compared(predictions, branches):
    """Asked once, behind all, and only where something is compared."""
    found = space((*predictions, 'cross'), prediction_head=('own', 'cross'))
    nothing = 2 if 'centerness' in predictions else 1
    assert found.count() == count(found) == 2 * branches - 1 + 2 * (branches - nothing)
    assert asked(found) == [*asked(space(predictions)), 'prediction_head']
    for spec in found.enumerate():
        compares = any((spec.prediction, spec.box, spec.quality))
        assert DistillerSpec.from_dict(spec.to_dict()) == spec
        assert found.params(spec).get('prediction_head') == (
            (spec.prediction_head or 'own') if compares else None)


@pytest.mark.parametrize('predictions, levels', [
    (None, []), (('sigmoid', ), ['prediction', 'prediction_weight']),
    (('softmax', 'boxes'), ['prediction', 'prediction_weight', 'box', 'box_by', 'box_weight']),
    (EVERYTHING, list(PREDICTION_LEVELS[:-1]))])
def test_the_levels_are_those_of_what_the_heads_have_in_common(predictions, levels):
    assert asked(space(predictions)) == levels


def count(found):
    return len(list(found.enumerate()))


@pytest.mark.parametrize('predictions, branches', [
    (('sigmoid', ), 3), (('softmax', ), 2), (('sigmoid', 'boxes'), 3 * 7),
    (('sigmoid', 'boxes', 'distributions'), 3 * 10), (EVERYTHING, 3 * 10 * 2)])
def test_counts(predictions, branches):
    """Beside a feature all branches, alone those with classes or boxes."""
    found = space(predictions)
    nothing = 2 if 'centerness' in predictions else 1
    assert found.count() == count(found) == branches + branches - nothing


def test_without_boxes_of_the_labels_nothing_is_weighted_by_them():
    assert count(space(('sigmoid', 'boxes'), boxes=None)) == 3 * 5 + 3 * 5 - 1


def test_beside_logits_they_may_all_be_left_out():
    found = space(('sigmoid', ), has_logits=True)
    assert found.count() == count(found) == 5 * 3 + 5 * 3 - 1


def test_every_point_is_found_again():
    found = space(EVERYTHING)
    for spec in found.enumerate():
        assert DistillerSpec.from_dict(spec.to_dict()) == spec
        found.validate(spec)


def test_what_is_left_out_is_said_once():
    lines = []
    found = DistillerSpace(dict(FEW, region=('all', )), Shapes(
        has_logits=False, predictions=('sigmoid', 'boxes')), log=lines.append)
    found.count()
    assert [line for line in lines if line.startswith(('prediction', 'box'))] == [
        'prediction=kl after transform=logits_only is left out: cannot work: the classes of a '
        'sigmoid are not exclusive',
        'box=kl after transform=logits_only is left out: cannot work: the heads write boxes as '
        'numbers, not as distributions',
        'box_by=foreground is left out: cannot work: the task has no boxes']


@pytest.mark.parametrize('values, words', [
    (dict(transform='logits_only'), "box='none'.*nothing would be distilled"),
    (dict(transform='logits_only', prediction='kl', prediction_weight=1), 'not exclusive'),
    (dict(transform='logits_only', prediction='bse', prediction_weight=1), "'bce'"),
    (dict(transform='logits_only', prediction='bce', prediction_weight=3),
     'prediction_weight=3 is not a point of this space; it offers 1'),
    (dict(transform='logits_only', prediction='bce', prediction_weight=1, quality='bce'),
     'quality=.*layers.student_predictions'),
    (dict(transform='logits_only', prediction='bce', prediction_weight=1, box_by='confidence'),
     'box_by=.*means nothing beside')])
def test_specs_that_are_no_points(values, words):
    with pytest.raises(ConfigError, match=words):
        space(('sigmoid', 'boxes')).validate(DistillerSpec.from_dict(values))


def test_options_that_the_heads_do_not_have():
    with pytest.raises(ConfigError, match=r"space.box: \['l1'\] need dense heads.*'none'"):
        space(('sigmoid', ), box=('l1', ))
    assert 'box' not in asked(space(('sigmoid', ), box=('none', 'l1')))
    with pytest.raises(ConfigError, match=r"space.prediction_head: \['cross'\] cannot.*'own'"):
        space(('sigmoid', ), prediction_head='cross')
    with pytest.raises(ConfigError, match=r"prediction_head: \['cross'\] need dense.*'own'"):
        space(None, prediction_head='cross', has_logits=True)
    both = space(None, prediction_head=('own', 'cross'), has_logits=True)
    assert both.count() == space(None, has_logits=True).count()


def test_none_is_a_name_of_its_own_that_nothing_keeps():
    spec = DistillerSpec('none', distance='l2', prediction='none', box='none', quality='none')
    assert spec == DistillerSpec('none', distance='l2')
    assert columns([spec.to_dict()]) == columns([DistillerSpec('none').to_dict()])
    assert 'box' in columns([dict(transform='none', box='l1')])


def test_hand_crafted_methods_are_points_of_it():
    options = dict.fromkeys(('prediction_weight', 'box_weight'), (0.25, 1, 4))
    heads = dict(prediction_head=('own', 'cross'))
    for name in WITH_HEADS:
        spec = handcrafted(name, same_shape=False)
        space((*EVERYTHING, 'cross'), **options, **heads).validate(spec)
        DistillerSpace(dict(FEW_LAYERS, **heads), Shapes(
            boxes=True, predictions=(*EVERYTHING, 'cross'))).validate(spec)
    assert handcrafted('BCKD').in_words() == 'classes weighted bce x1 + boxes giou by difference x4'


def test_layers_with_options_of_their_own_have_one_head():
    shapes = Shapes(has_logits=False, predictions=('sigmoid', ))
    options = dict(FEW, transform=('logits_only', 'none'))
    found = LayerwiseSpace(options, dict(feature_0=shapes, feature_1=shapes))
    specs = list(found.enumerate())
    assert len(specs) == found.count() == 3 * 3 + 2
    assert [level for level, _ in found.levels()][-2:] == ['prediction', 'prediction_weight']
    for spec in specs:
        assert spec_from_dict(spec.to_dict()) == spec
        found.validate(spec)
    cross = LayerwiseSpace(dict(options, prediction_head=('own', 'cross')), dict.fromkeys(
        ('feature_0', 'feature_1'), replace(shapes, predictions=('sigmoid', 'cross'))))
    assert cross.count() == 3 * 5 + 4 == len(set(cross.enumerate()))
    alone = [spec for spec in specs if not spec.has_feature]
    assert sorted(spec.in_words() for spec in alone) == ['classes bce x1',
                                                         'classes weighted bce x1']


def test_options_may_leave_nothing_but_features():
    """A level that is switched off: what would have nothing else is not offered."""
    off = dict(prediction=('none', ), box=('none', ), quality=('none', ))
    found = space(EVERYTHING, **off)
    assert found.count() == count(found) == 1
    assert found.options['transform'] == FEW['transform']
    assert count(space(EVERYTHING, has_logits=True, **off)) == 5 + 4
    assert count(space(EVERYTHING, prediction=('none', ), quality=('none', ))) == 10 + 9

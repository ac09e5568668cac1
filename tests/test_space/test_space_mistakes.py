"""What a space and its points refuse, word by word."""
import pytest

from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.handcrafted import WITH_BOXES
from autokd_mm.space.options import BOX_TRANSFORMS

BOX_TRANSFORM, = BOX_TRANSFORMS


def spec(**options):
    return DistillerSpec.from_dict(dict(dict(
        transform='none', connector='identity', intra='none', inter='none', distance='l2',
        feature_weight=1), **options))


@pytest.mark.parametrize('options, message', [
    (dict(temprature=[1]), "space: level 'temprature' is unknown, did you mean 'temperature'?"),
    (dict(distance=['l3']), "space.distance: 'l3' is unknown, did you mean 'l2'? Valid: l2, cos"),
    (dict(distance=[['l2']]), """space.distance: "['l2']" is unknown, did you mean 'l2'?"""),
    (dict(inter=[True]), "space.inter: 'True' is unknown. Valid: none, sample, channel"),
    (dict(inter=[]), 'space.inter is empty; remove it or name at least one option'),
    (dict(inter=['none', 'none']), "space.inter repeats an option: ['none', 'none']"),
    (dict(temperature=[1, 1.0]), 'space.temperature repeats an option: [1, 1.0]'),
    (dict(mask_ratio=[0.5, 1.0]), 'space.mask_ratio: 1.0 is not a share between 0 and 1; did you '
                                  'mean 0.75?'),
    (dict(mask_ratio=0), 'space.mask_ratio: 0 is not a share between 0 and 1; did you mean 0.5?'),
    (dict(background_weight=[0, -1]), 'space.background_weight: -1 is not a number of at least 0; '
                                      'did you mean 0.5?'),
    (dict(region='instance'), "space.region: 'instance' is unknown, did you mean 'instances'?"),
    (dict(region=['instances']), "space.region: ['instances'] need boxes, which this task has not; "
                                 "did you mean 'all'?"),
    (dict(patch_grid=1), 'space.patch_grid: 1 is not a whole number of at least 2; did you mean 2'),
    (dict(patch_grid=[4.0]), 'space.patch_grid: 4.0 is not a whole number of at least 2; did you '
                             'mean 4?'),
    (dict(temperature=[0]), 'space.temperature: 0 is not a number above 0; did you mean 1?'),
    (dict(temperature=[float('inf')]), 'space.temperature: inf is not a number above 0'),
    (dict(temperature=[float('nan')]), 'space.temperature: nan is not a number above 0'),
    (dict(feature_weight=['5']), "space.feature_weight: '5' is not a number above 0"),
    (dict(feature_weight=[True]), 'space.feature_weight: True is not a number above 0'),
    (dict(logits_weight=[-1]), 'space.logits_weight: -1 is not a number above 0; did you mean 0.1'),
    ([('inter', 'none')], 'space must be a dict like dict(temperature=[1, 4]), got ['),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError) as info:
        DistillerSpace(options)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


@pytest.mark.parametrize('options, shapes, message', [
    (dict(transform='logits_only', logits='none'), Shapes(),
     "space.transform: none of ['logits_only'] can be used for these tensors (cannot work: "
     'nothing would be distilled)'),
    (dict(transform='logits_only'), Shapes(has_logits=False),
     "space.transform: none of ['logits_only'] can be used for these tensors (cannot work: there "
     'are no logits to compare)'),
    (dict(transform='none', connector='identity'), Shapes(same=False),
     "space.transform: none of ['none'] can be used for these tensors (cannot work: student and "
     "teacher differ in shape, and space.connector is ['identity'])"),
    (dict(transform=BOX_TRANSFORM), Shapes(),
     "space.transform: none of ['teacher_attention_mask'] can be used for these tensors (means "
     "something else: the teacher's attention is that of FGD, region=foreground_background)"),
    (dict(region='foreground_background', distance='kl', transform='none'), Shapes(boxes=True),
     "space.transform: none of ['none'] can be used for these tensors (means something else: in a "
     'softmax the root of a weight is a temperature)'),
    (dict(transform='none', intra='local', distance='local_correlation'), Shapes(1, 4, 1, 1),
     "space.transform: none of ['none'] can be used for these tensors (cannot work: a map with one "
     'row or column has no patches)'),
])
def test_a_space_with_nothing_in_it(options, shapes, message):
    with pytest.raises(ValueError) as info:
        DistillerSpace(options, shapes).count()
    assert str(info.value) == message


@pytest.mark.parametrize('point, message', [
    (spec(distance='cosine', inter='sample'),
     "distiller option distance='cosine' is not offered here. Valid: l2, pearson, kl, gram_l2, "
     'rkd_distance, rkd_angle, correlation (repeats: l2 after normalisation is twice the cosine '
     '(supplement eq. 5-8))'),
    (spec(distance='pearsn'), "distiller option distance='pearsn' is not offered here, did you "
                              "mean 'pearson'? Valid: l2, cosine, pearson, kl"),
    (spec(feature_weight=20), 'distiller option feature_weight=20 is not offered here, did you '
                              'mean 25? Valid: 1, 5, 25, 50'),
    (spec(distance='kl'), 'distiller option temperature is missing; valid: 1, 4, 8, 16'),
    (spec(temperature=4), 'distiller option temperature=4 means nothing beside the other options; '
                          'leave it out'),
    (DistillerSpec('logits_only'), "distiller option logits='none' is not offered here. Valid: kl, "
                                   'pearson_inter, pearson_intra, pearson_both (cannot work: '
                                   'nothing would be distilled)'),
])
def test_a_spec_outside_the_space(point, message):
    with pytest.raises(ValueError) as info:
        DistillerSpace().params(point)
    assert str(info.value) == message


@pytest.mark.parametrize('point, message', [
    (spec(region='instances'), "distiller option region='instances' needs boxes, which this task "
                               'has not; leave it out'),
    (spec(background_weight=0.5), 'distiller option background_weight=0.5 needs boxes, which this '
                                  'task has not; leave it out'),
    (WITH_BOXES['FGD-focal'], "distiller option transform='teacher_attention_mask' is not offered "
                              "here, did you mean 'attention_mask'?"),
])
def test_a_spec_with_a_region_in_a_space_without_boxes(point, message):
    with pytest.raises(ValueError) as info:
        DistillerSpace().params(point)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize('point, message', [
    (spec(region='foreground_background', background_weight=0.5, distance='pearson'),
     "distiller option distance='pearson' is not offered here. Valid: l2, cosine (means something "
     'else: the mean that a correlation takes off is not a weighted one)'),
    (spec(region='foreground_background', background_weight=2),
     'distiller option background_weight=2 is not a point of this space; it offers 0.5 there'),
    (spec(region='foreground_background'),
     'distiller option background_weight=None is not a point of this space; it offers 0.5 there'),
    (spec(region='instances', background_weight=0.5),
     'distiller option background_weight=0.5 means nothing beside the other options; leave it out'),
    (spec(transform=BOX_TRANSFORM), 'distiller option region=None is not a point of this space; it '
                                    "offers 'foreground_background' there"),
])
def test_a_spec_outside_the_space_with_boxes(with_boxes, point, message):
    with pytest.raises(ValueError) as info:
        with_boxes.params(point)
    assert str(info.value) == message


def test_a_spec_against_the_only_option_of_a_level():
    with pytest.raises(ValueError, match="feature_weight=1 is not a point of this space; it "
                                         'offers 5 there'):
        DistillerSpace(dict(feature_weight=[5])).params(spec())


def test_logits_are_left_where_no_connector_fits():
    said = []
    space = DistillerSpace(dict(connector='identity'), Shapes(same=False), said.append)
    assert {spec.transform for spec in space.enumerate()} == {'logits_only'}
    assert any("space.connector is ['identity']" in line for line in said)

"""Layers that are asked for together."""
from dataclasses import replace

import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.space import DistillerSpec, LayerwiseSpace, LayerwiseSpec, Shapes
from autokd_mm.space.handcrafted import starting_point
from autokd_mm.space.layer_groups import Groups
from autokd_mm.space.walk import walk

# A pyramid whose last level has one position, and a stage of the backbone.
LEVELS = dict(feature_0=Shapes(8, 16, 8, 8), feature_1=Shapes(8, 16, 4, 4),
              feature_2=Shapes(8, 16, 1, 1))
ALL = dict(LEVELS, feature_3=Shapes(8, 32, 4, 4, same=False))
FEW = dict(transform=('logits_only', 'none', 'spatial_attention'),
           connector=('identity', 'conv1x1'), intra=('none', ), inter=('none', ),
           distance=('l2', 'gram_l2'), feature_weight=(1, 5), logits=('none', 'kl'),
           temperature=(4, ), logits_temperature=(4, ), logits_weight=(1, ))


@pytest.fixture
def space():
    return LayerwiseSpace(FEW, ALL, groups=[tuple(LEVELS)])


def test_as_many_distillers_as_of_two_layers(space):
    """The largest level is asked for all of them."""
    two = LayerwiseSpace(FEW, {name: ALL[name] for name in ('feature_0', 'feature_3')})
    specs = list(space.enumerate())
    assert space.count() == two.count() == len(specs) == len(set(specs))
    assert set(walk(space.suggest)) == set(specs)
    assert list(space.shapes) == ['feature_0', 'feature_3']
    for spec in specs:
        assert spec.names == tuple(ALL)
        assert LayerwiseSpec.from_dict(spec.to_dict()) == spec
        assert {key.partition('/')[0] for key in space.params(spec) if '/' in key} == {
            'feature_0', 'feature_3'}


def test_a_level_that_is_too_small_is_left_out(space):
    """A map of attention has one number there."""
    spec = starting_point('AT', space)
    first, second, third, stage = (branch for _, branch in spec.layers)
    assert first == second and first.transform == 'spatial_attention'
    assert third == DistillerSpec('left_out') and stage.connector == 'conv1x1'
    assert space.params(spec)['feature_0/transform'] == 'spatial_attention'
    assert spec.in_words().startswith('feature_0, feature_1: spatial attention > l2 x5 + feature_3')


def test_levels_with_other_options_are_no_point(space):
    spec = starting_point('FitNet', space)
    layers = dict(spec.layers, feature_1=replace(spec.layers[1][1], feature_weight=5))
    with pytest.raises(ConfigError, match='^feature_1: it is compared as feature_0 is, and its'):
        space.params(replace(spec, layers=tuple(layers.items())))


def test_a_connector_is_needed_where_one_of_them_needs_it():
    groups = Groups(dict(a=Shapes(8, 16, 4, 4), b=Shapes(8, 32, 2, 2, same=False)), [('a', 'b')])
    assert list(groups.asked) == ['a'] and not groups.asked['a'].same


def test_whoever_is_in_no_group_is_alone():
    assert Groups(ALL).asked == ALL and Groups(ALL, [('feature_1', )]).asked == ALL

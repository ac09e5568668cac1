import math
from dataclasses import replace

import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler

from autokd_mm.errors import ConfigError
from autokd_mm.search import MCTSSampler
from autokd_mm.space import DistillerSpace, DistillerSpec, LayerwiseSpace, LayerwiseSpec, Shapes
from autokd_mm.space.handcrafted import HANDCRAFTED, starting_point
from autokd_mm.space.walk import walk

optuna.logging.set_verbosity(optuna.logging.ERROR)
SAMPLERS = dict(random=RandomSampler, tpe=TPESampler, mcts=MCTSSampler)
# A usual map, one with a single position, and one for which a connector is needed.
MAP, POINT, WIDER = Shapes(8, 16, 4, 4), Shapes(8, 16, 1, 1), Shapes(8, 32, 2, 2, same=False)
FEW = dict(transform=('logits_only', 'none', 'spatial_attention'),
           connector=('identity', 'conv1x1'), intra=('none', ), inter=('none', 'channel'),
           distance=('l2', 'kl', 'gram_l2'),
           temperature=(4, ), feature_weight=(1, 5), logits=('none', 'kl', 'pearson_inter'),
           logits_temperature=(4, ), logits_weight=(1, ))


def named(*shapes):
    return {f'feature_{i}': one for i, one in enumerate(shapes)}


def without_logits(*shapes):
    return [replace(one, classes=0, has_logits=False) for one in shapes]


TASKS = {
    'two-maps': ([MAP, WIDER], FEW),
    'three': ([MAP, POINT, WIDER], FEW),
    'no-logits': (without_logits(MAP, POINT, WIDER), FEW),
    'only-the-first-is-able': (without_logits(MAP, POINT),
                               dict(FEW, transform=('logits_only', 'spatial_attention'))),
    'none-is-left-out': ([MAP, WIDER], dict(FEW, transform=('none', 'spatial_attention'))),
    'logits-always': ([MAP, POINT], dict(FEW, logits=('kl', ))),
    'never-logits': ([MAP, POINT], dict(FEW, logits=('none', ))),
    'boxes': ([replace(one, boxes=True) for one in (MAP, POINT)], FEW),
    'logits-alone': ([MAP, POINT], dict(FEW, transform=('logits_only', ))),
}


@pytest.fixture(params=TASKS)
def space(request):
    shapes, options = TASKS[request.param]
    return LayerwiseSpace(options, named(*shapes))


def test_count_enumerate_and_walk_agree(space):
    specs = list(space.enumerate())
    assert space.count() == len(specs) == len(set(specs)) > 0
    assert set(walk(space.suggest)) == set(specs)
    assert all(spec.has_feature or spec.has_logits for spec in specs)


def test_every_distiller_has_its_own_parameters_and_words(space):
    """And the parameters lead back to it."""
    found = {}
    for spec in space.enumerate():
        params = space.params(spec)
        found[tuple(params.items())] = spec
        assert space.suggest(optuna.trial.FixedTrial(params)) == spec
    assert len(found) == space.count()
    assert len({spec.in_words() for spec in found.values()}) == len(found)


def test_a_layer_offers_what_it_offers_alone():
    """But that logits alone are here the layer left out."""
    layers = named(MAP, POINT, WIDER)
    space = LayerwiseSpace({}, layers)
    product = 1
    for shapes in layers.values():
        alone = DistillerSpace(dict(logits=('none', ), transform=[
            name for name in DistillerSpace().options['transform'] if name != 'logits_only']),
            shapes)
        product *= alone.count() + 1
    logits = 4 * 4 * 4
    assert space.count() == (product - 1) * (1 + logits) + logits > 1e9


def test_nothing_of_it_is_enumerated_to_count(monkeypatch):
    monkeypatch.setattr(LayerwiseSpace, 'enumerate', None)
    monkeypatch.setattr('autokd_mm.space.layerwise_space.product', None)
    assert LayerwiseSpace({}, named(*[MAP] * 8)).count() > 1e24


@pytest.mark.parametrize('sampler', SAMPLERS)
def test_trials_under_any_sampler(sampler, space):
    """Optuna refuses a parameter whose choices change."""
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed=0), direction='maximize')
    study.optimize(lambda trial: math.sin(hash_of(space.suggest(trial))), n_trials=60)
    specs = {}
    for trial in study.trials:
        spec = space.suggest(optuna.trial.FixedTrial(trial.params))
        assert space.params(spec) == trial.params
        assert specs.setdefault(tuple(sorted(trial.params.items())), spec) == spec
    assert len(set(specs.values())) == len(specs) > min(15, space.count() - 1)


def hash_of(spec):
    return sum(ord(letter) for item in spec.to_dict().items() for letter in str(item))


def test_options_are_asked_under_the_name_of_their_layer():
    space = LayerwiseSpace(FEW, named(MAP, POINT))
    names = {name for spec in space.enumerate() for name in space.params(spec)}
    heads = {name.split('/')[0] for name in names if '/' in name}
    assert heads == {'feature_0', 'feature_1'} and 'feature_1/transform(left_out|none)' in names
    assert {name.split('(')[0] for name in names if '/' not in name} == {'logits'}


def test_without_logits_the_last_able_layer_is_compared_if_no_other_is():
    space = LayerwiseSpace(FEW, named(*without_logits(MAP, WIDER)))
    found = list(space.enumerate())
    first_out = [spec for spec in found if not dict(spec.layers)['feature_0'].has_feature]
    assert first_out and all(spec.has_feature for spec in found)
    assert 'feature_1/transform(none|spatial_attention)' in space.params(first_out[0])
    both_out = LayerwiseSpec(tuple((name, DistillerSpec('left_out')) for name in space.shapes))
    with pytest.raises(ConfigError, match='feature_1: .*nothing would be distilled'):
        space.validate(both_out)


@pytest.mark.parametrize('options, shapes, message', [
    (dict(transform=['spatial_attention']), (MAP, POINT),
     r"space.transform: \['spatial_attention'\] cannot be used at feature_1 .*one position.*"
     "with 'logits_only' it may be left out"),
    (dict(transform=['logits_only']), without_logits(MAP, POINT), 'space: these tensors allow'),
    (dict(transform=['left_out']), (MAP, POINT), "space.transform: 'left_out' is unknown"),
    (dict(intar=['none']), (MAP, POINT), "space: level 'intar' is unknown"),
])
def test_spaces_that_cannot_be(options, shapes, message):
    with pytest.raises(ConfigError, match=message):
        LayerwiseSpace(options, named(*shapes))


AT = HANDCRAFTED['AT']


@pytest.mark.parametrize('layers, message', [
    ((('feature_0', AT), ('feature_1', AT)), 'the layers of this task are feature_0, feature_1, '
                                             'feature_2'),
    ((('feature_0', AT), ('feature_1', AT), ('feature_2', AT)),
     "feature_1: distiller option transform='spatial_attention' is not offered here.*one position"),
    ((('feature_0', replace(AT, feature_weight=3)), ('feature_1', DistillerSpec('left_out')),
      ('feature_2', AT)), 'feature_0: distiller option feature_weight=3 is not offered here'),
])
def test_points_that_are_not_there(layers, message):
    space = LayerwiseSpace({}, named(MAP, POINT, WIDER))
    with pytest.raises(ConfigError, match=message):
        space.params(LayerwiseSpec(layers))


def test_logits_that_are_not_there():
    space = LayerwiseSpace({}, named(MAP, MAP))
    layers = (('feature_0', AT), ('feature_1', AT))
    with pytest.raises(ConfigError, match="logits='kll' is not offered here, did you mean 'kl'"):
        space.params(LayerwiseSpec(layers, 'kll', 4, 1))
    with pytest.raises(ConfigError, match='logits_temperature=4 means nothing beside'):
        space.params(LayerwiseSpec(layers, 'none', 4))


def test_options_of_the_other_kind():
    with pytest.raises(ConfigError, match='name no layer; the layers .* feature_0, feature_1'):
        LayerwiseSpace({}, named(MAP, MAP)).params(AT)
    with pytest.raises(ConfigError, match='are of the layers a, b; .* have the same options'):
        DistillerSpace().params(LayerwiseSpec((('a', AT), ('b', AT))))


def test_what_is_left_out_is_said_with_the_layer():
    said = []
    LayerwiseSpace({}, named(MAP, POINT), said.append).count()
    assert 'feature_1: transform=random_mask is left out: cannot work: the feature has one ' \
           'position' in said
    assert not [line for line in said if line.startswith('feature_0: transform')]
    assert len(said) == len(set(said))


def test_levels():
    levels = dict(LayerwiseSpace(FEW, named(MAP, POINT)).levels())
    assert levels['transform'] == ('left_out', 'none', 'spatial_attention')
    assert levels['logits'] == FEW['logits'] and levels['distance'] == FEW['distance']


# ---------------------------------------------------------------------- warm starts
@pytest.mark.parametrize('name', HANDCRAFTED)
def test_a_method_at_every_layer(name):
    space = LayerwiseSpace({}, named(MAP, WIDER, replace(MAP, height=8, width=8)))
    spec = starting_point(name, space)
    assert space.params(spec) and spec.has_feature == HANDCRAFTED[name].has_feature
    assert spec.logits == HANDCRAFTED[name].logits
    branches = dict(spec.layers)
    if HANDCRAFTED[name].has_feature:
        assert branches['feature_0'] == branches['feature_2'] == HANDCRAFTED[name]
        if branches['feature_1'].has_feature:
            assert branches['feature_1'] == replace(HANDCRAFTED[name], connector='conv1x1')
        else:
            assert name in ('LKD', )  # a grid of 4 x 4


def test_a_layer_that_does_not_offer_a_method_is_left_out():
    space = LayerwiseSpace({}, named(MAP, POINT))
    spec = starting_point('MGD', space)
    assert [branch.transform for _, branch in spec.layers] == ['random_mask', 'left_out']
    with pytest.raises(ConfigError, match='feature_0: .*spatial_attention'):
        starting_point('AT', LayerwiseSpace({}, named(POINT, POINT)))
    with pytest.raises(ConfigError, match="warm_start: 'ATT' is unknown"):
        starting_point('ATT', space)


def test_a_start_as_options():
    space = LayerwiseSpace({}, named(MAP, MAP))
    shared = starting_point(dict(AT.to_dict(), logits='kl', logits_temperature=4,
                                 logits_weight=1), space)
    assert shared.layers == (('feature_0', AT), ('feature_1', AT)) and shared.logits == 'kl'
    own = LayerwiseSpec((('feature_0', AT), ('feature_1', HANDCRAFTED['SP'])), 'kl', 4, 1)
    assert starting_point(own.to_dict(), space) == own
    assert starting_point('AT', DistillerSpace()) == AT
    assert starting_point(AT.to_dict(), DistillerSpace()) == AT


def test_no_layer_hears_one_of_several_teachers():
    space = LayerwiseSpace(FEW, named(MAP, WIDER))
    alone = DistillerSpec('none', connector='conv1x1', intra='none', inter='none', distance='l2',
                          feature_weight=1, feature_teacher='1')
    for ask in (lambda: space.spread([alone, alone]),
                lambda: space.params(LayerwiseSpec((('feature_0', alone), ('feature_1', alone))))):
        with pytest.raises(ConfigError, match="feature_teacher='1': every layer has.*'all'"):
            ask()

"""Several pairs of layers: names, recorders, one loss for each."""
import pytest
import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import (LayerPair, Layers, as_far_as_recorded, checked_factors,
                                         clear_records, disable_inplace, distiller_config, for_bank,
                                         pair_names, spec_from_config, split_source, stop_when)
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, DistillerSpec, LayerwiseSpace, LayerwiseSpec, Shapes
from autokd_mm.space.handcrafted import handcrafted

FACTORS = (0.5, 0.3, 0.2)
SIZES = ((16, 16), (8, 8), (4, 4))


def pyramid(channels=(4, 6), factors=FACTORS, sizes=SIZES, **calls):
    return Layers(tuple(
        LayerPair(name, f'neck[{i}]', f'neck[{i}]', (channels[0], *size), (channels[1], *size),
                  factor, **calls)
        for i, (name, size, factor) in enumerate(zip(pair_names('feature', len(sizes)), sizes,
                                                     factors))))


def test_names():
    assert split_source('neck[2]') == ('neck', 2) and split_source('a.b') == ('a.b', None)
    assert split_source('0.bbox_head.retina_cls[10]') == ('0.bbox_head.retina_cls', 10)
    assert pair_names('logits', 1) == ('logits', )
    assert pair_names('feature', 2) == ('feature_0', 'feature_1')


def test_one_loss_for_each_pair():
    config = distiller_config(handcrafted('MGD', same_shape=False), pyramid())
    assert list(config['distill_losses']) == [f'loss_feature_{i}' for i in range(3)]
    assert [loss['loss_weight'] for loss in config['distill_losses'].values()] == [0.5, 0.3, 0.2]
    assert all(recorder == dict(type='mmrazor.ModuleOutputs', source='neck')
               for recorder in config['student_recorders'].values())
    assert config['loss_forward_mappings']['loss_feature_1'] == dict(
        student=dict(recorder='feature_1', from_student=True, data_idx=1, connector='feature_1'),
        teacher=dict(recorder='feature_1', from_student=False, data_idx=1))
    assert [connector['in_channels'] for connector in config['connectors'].values()] == [4] * 3
    calls = distiller_config(handcrafted('FitNet'), pyramid(student_calls=True))
    mapping = calls['loss_forward_mappings']['loss_feature_2']
    assert mapping['student']['record_idx'] == 2 and mapping['teacher']['data_idx'] == 2
    fed = for_bank(calls)['loss_forward_mappings']['loss_feature_2']
    assert fed['student'] == mapping['student'] and 'data_idx' not in fed['teacher']
    assert 'data_idx' in mapping['teacher']  # a copy


@pytest.mark.parametrize('factors', [FACTORS, (1 / 3, ) * 3])
def test_there_and_back(factors):
    options = dict(temperature=(4, ), feature_weight=(1, 25), mask_ratio=(0.65, ))
    same = pyramid((6, 6), factors)
    logits = tuple(LayerPair(name, f'cls[{i}]', f'cls[{i}]', (9, *size), (9, *size), 1 / 3,
                             True, True)
                   for i, (name, size) in enumerate(zip(pair_names('logits', 3), SIZES)))
    layers = Layers(same.pairs, logits)
    specs = list(DistillerSpace(options, Shapes(channels=6, height=16, width=16)).enumerate())
    for spec in specs[::997]:
        assert spec_from_config(distiller_config(spec, layers)) == spec


class Net(nn.Module):

    def __init__(self, channels):
        super().__init__()
        self.neck, self.head = Neck(channels), nn.Conv2d(channels, 2, 1)
        self.ran = []

    def forward(self, x):
        levels = self.neck(x)
        self.ran.append('neck')
        return [self.head(level) for level in levels]


class Neck(nn.Module):

    def __init__(self, channels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, 3, 2**i, 1) for i in range(3))

    def forward(self, x):
        return tuple(conv(x) for conv in self.convs)


def test_the_losses_are_those_of_the_levels():
    """The sum over levels of factor x weight x loss, through MMRazor's recorders."""
    torch.manual_seed(0)
    student, teacher, x = Net(6), Net(6), torch.rand(2, 3, 16, 16)
    distiller = MODELS.build(distiller_config(
        DistillerSpec('none', connector='identity', intra='none', inter='none', distance='l2',
                      feature_weight=5), pyramid((6, 6))))
    for network in (student, teacher):
        disable_inplace(network)
    distiller.prepare_from_student(student)
    distiller.prepare_from_teacher(teacher)
    with distiller.student_recorders, distiller.teacher_recorders, torch.no_grad():
        student(x), teacher(x)
    losses = distiller.compute_distill_losses()
    for i, (one, other) in enumerate(zip(student.neck(x), teacher.neck(x))):
        expected = 5 * FACTORS[i] * (one - other).square().mean()
        assert torch.allclose(losses[f'loss_feature_{i}'], expected, rtol=1e-5)
    clear_records(distiller)


def test_calls_of_a_module():
    """A head that is called once for each level."""
    torch.manual_seed(0)
    student, teacher, x = Net(6), Net(6), torch.rand(2, 3, 16, 16)
    pairs = tuple(LayerPair(f'feature_{i}', f'head[{i}]', f'head[{i}]', (2, *size), (2, *size),
                            1 / 3, True, True) for i, size in enumerate(SIZES))
    distiller = MODELS.build(distiller_config(handcrafted('FitNet'), Layers(pairs)))
    distiller.prepare_from_student(student)
    distiller.prepare_from_teacher(teacher)
    with distiller.student_recorders, distiller.teacher_recorders, torch.no_grad():
        ours, theirs = student(x), teacher(x)
    losses = distiller.compute_distill_losses()
    for i, (one, other) in enumerate(zip(ours, theirs)):
        assert torch.allclose(losses[f'loss_feature_{i}'], (one - other).square().mean() / 3)


def test_pairs_too_small_for_an_option_are_left_out():
    """Attention over positions on a 1 x 1 level; the others have its share."""
    layers = pyramid((6, 6), sizes=((8, 8), (4, 4), (1, 1)))
    config = distiller_config(handcrafted('AT'), layers)
    weights = {name: loss['loss_weight'] for name, loss in config['distill_losses'].items()}
    assert weights == dict(loss_feature_0=pytest.approx(5 * 0.5 / 0.8),
                           loss_feature_1=pytest.approx(5 * 0.3 / 0.8))
    assert spec_from_config(config) == handcrafted('AT')
    assert len(distiller_config(handcrafted('FitNet'), layers)['distill_losses']) == 3
    grid = distiller_config(handcrafted('LKD'), pyramid((6, 6), sizes=((8, 8), (4, 3), (2, 2))))
    assert list(grid['distill_losses']) == ['loss_feature_0']


@pytest.mark.parametrize('change, words', [
    (dict(inter='channel'), 'loss_feature_1: differs from loss_feature_0 in more than its weight'),
    (dict(type='mmrazor.LogitsLoss'), 'loss_feature_1: mmrazor.LogitsLoss is not of'),
])
def test_levels_that_differ_are_no_point_of_the_space(change, words):
    config = distiller_config(handcrafted('FitNet'), pyramid((6, 6)))
    config['distill_losses']['loss_feature_1'].update(change)
    with pytest.raises(ConfigError, match=words):
        spec_from_config(config)


def test_connectors_that_differ_are_no_point_of_the_space():
    config = distiller_config(handcrafted('FitNet', False), pyramid())
    del config['connectors']['feature_1']
    with pytest.raises(ConfigError, match="the pairs of layers have .'conv1x1', 'identity'."):
        spec_from_config(config)


@pytest.mark.parametrize('factors, words', [
    ((1, 2), 'layers.factors has 2 numbers for 3 pairs'),
    ((1, float('nan'), 2), 'layers.factors: nan is not a finite number'),
    ((1, float('inf'), 2), 'layers.factors: inf is not a finite number'),
    ((1, -1, 2), 'layers.factors: -1 is not'), ((1, 'a', 2), "layers.factors: 'a' is not"),
    ((0, 0, 0), 'at least one must be above 0'),
])
def test_bad_factors(factors, words):
    with pytest.raises(ConfigError, match=words):
        checked_factors(factors, 3)
    assert checked_factors((1, 1, 2), 3) == (0.25, 0.25, 0.5)


# ---------------------------------------------------------------------- only as far as needed
def test_what_is_behind_the_last_module_does_not_run():
    net, seen = Net(4), []
    net.neck.register_forward_hook(lambda *args: seen.append('recorded'))
    with stop_when([net.neck], lambda: bool(seen)):
        net(torch.rand(1, 3, 8, 8))
        seen.append('not reached')
    assert seen == ['recorded'] and net.ran == []
    net(torch.rand(1, 3, 8, 8))
    assert net.ran == ['neck'] and len(net.neck._forward_hooks) == 1
    with pytest.raises(ZeroDivisionError), stop_when([net.neck], lambda: False):
        raise ZeroDivisionError


@pytest.mark.parametrize('source, indices, ran', [
    ('neck', dict(data_idx=1), []), ('head', dict(record_idx=0), ['neck']),
    ('head', dict(record_idx=1), ['neck'])])
def test_a_teacher_runs_as_far_as_its_recorders_listen(source, indices, ran):
    """The head is called three times; it runs until the call that a loss reads."""
    teacher, calls = Net(4), []
    pairs = (LayerPair('feature', f'{source}[{list(indices.values())[0]}]',
                       f'{source}[{list(indices.values())[0]}]', (4, 8, 8), (4, 8, 8), 1.0,
                       'record_idx' in indices, 'record_idx' in indices), )
    distiller = MODELS.build(distiller_config(handcrafted('FitNet'), Layers(pairs)))
    distiller.prepare_from_teacher(teacher)
    teacher.head.register_forward_hook(lambda *args: calls.append('head'))
    x = torch.rand(2, 3, 16, 16)
    with distiller.teacher_recorders, as_far_as_recorded(teacher, distiller):
        teacher(x)
    assert teacher.ran == ran and len(calls) == indices.get('record_idx', -1) + 1
    place = distiller.loss_forward_mappings['loss_feature']['teacher']
    found = distiller.get_record(**place)
    levels = teacher.neck(x)
    assert torch.equal(found, levels[1] if source == 'neck' else
                       teacher.head(levels[indices['record_idx']]))


# ---------------------------------------------------------------------- options of their own
LOGITS = (LayerPair('logits', 'cls', 'cls', (9, 1, 1), (9, 1, 1)), )
OUT = DistillerSpec('left_out')


def own(channels=(4, 6), factors=FACTORS):
    return Layers(pyramid(channels, factors).pairs, LOGITS, shared=False)


def test_each_pair_has_its_own_loss():
    branches = [handcrafted(name, same_shape=False) for name in ('MGD', 'CWD')]
    spec = LayerwiseSpec((('feature_0', branches[0]), ('feature_1', OUT),
                          ('feature_2', branches[1])), 'kl', 4, 0.5)
    config = distiller_config(spec, own())
    losses = config['distill_losses']
    assert list(losses) == ['loss_feature_0', 'loss_feature_2', 'loss_logits']
    assert losses['loss_feature_0'] == dict(
        type='mmrazor.FeatureLoss', transform='random_mask', mask_ratio=0.5, intra='none',
        inter='none', distance='l2', loss_weight=0.5, channels=6)
    assert losses['loss_feature_2'] == dict(
        type='mmrazor.FeatureLoss', transform='none', intra='none', inter='channel', distance='kl',
        temperature=4, loss_weight=0.2)  # a layer that is left out takes its share with it
    assert losses['loss_logits']['loss_weight'] == 0.5
    assert list(config['connectors']) == ['feature_0', 'feature_2']
    assert list(config['teacher_recorders']) == ['feature_0', 'feature_2', 'logits']
    MODELS.build(config)


def test_equal_options_are_the_shared_distiller():
    branch = handcrafted('SP', same_shape=False)
    spec = LayerwiseSpec(tuple((f'feature_{i}', branch) for i in range(3)))
    assert distiller_config(spec, own()) == distiller_config(branch, own())


@pytest.mark.parametrize('factors', [FACTORS, (1 / 3, ) * 3, (0.318371, 0.334, 0.347629)])
def test_there_and_back_with_own_options(factors):
    options = dict(transform=('logits_only', 'none', 'random_mask'), mask_ratio=(0.65, ),
                   connector=('conv1x1', ), intra=('none', 'local'), patch_grid=(2, ),
                   inter=('channel', ), distance=('kl', ), temperature=(4, ),
                   feature_weight=(1, 2.5), logits=('none', 'kl'), logits_temperature=(4, ),
                   logits_weight=(0.1, ))
    layers = own(factors=factors)
    space = LayerwiseSpace(options, {
        pair.name: Shapes(8, *pair.teacher_shape, classes=9, same=False) for pair in layers.pairs})
    specs = list(space.enumerate())
    assert len(specs) > 500
    for spec in specs:
        assert spec_from_config(distiller_config(spec, layers), layers) == spec


@pytest.mark.parametrize('layers, change, words', [
    (pyramid(), {}, 'differs from loss_feature_0 in more than its weight'),
    (Layers(pyramid().pairs[:2], shared=False), {}, 'feature losses of other layers than '
                                                    'feature_0, feature_1'),
    (own(factors=(0.0, 0.5, 0.5)), {}, r'layers.factors: that of neck\[0\] is 0'),
    (own(), dict(loss_at=dict(type='mmrazor.ATLoss')), r"\['loss_at'\] are not of the"),
    (own(), dict(loss_feature_0=dict(type='mmrazor.FeatureLoss', loss_weight=None)),
     'loss_feature_0.loss_weight: must be a number, got None'),
])
def test_configs_that_are_no_point(layers, change, words):
    spec = LayerwiseSpec(tuple((f'feature_{i}', handcrafted(name, same_shape=False))
                               for i, name in enumerate(('AT', 'SP', 'FitNet'))))
    config = distiller_config(spec, own())
    config['distill_losses'].update(change)
    with pytest.raises(ConfigError, match=words):
        spec_from_config(config, layers)


def test_options_for_other_layers():
    spec = LayerwiseSpec((('feature_0', handcrafted('FitNet')), ('feature_1', OUT)))
    with pytest.raises(ConfigError, match='options for the layers feature_0, feature_1; there are '
                                          'feature_0, feature_1, feature_2'):
        distiller_config(spec, own())

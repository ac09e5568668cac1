import pytest
import references as ref
import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.losses import FeatureLoss
from autokd_mm.registry import MODELS


@MODELS.register_module()
class _MeanAbsoluteForTests(nn.Module):

    def forward(self, student, teacher):
        return (student - teacher).abs().mean()


@MODELS.register_module()
class _DoubleForTests(nn.Module):

    def forward(self, student, teacher):
        return 2 * student, 2 * teacher


def pearson_channel(s, t):
    return ref.pearson(s, t, 'channel')


# The named methods that are a point of the space, with references of their own.
METHODS = {
    'FitNet': (dict(), ref.l2),
    'AT': (dict(transform='spatial_attention'),
           lambda s, t: ref.l2(ref.spatial_attention(s), ref.spatial_attention(t))),
    'SP': (dict(inter='sample', distance='gram_l2'), lambda s, t: ref.gram_l2(s, t, 'sample')),
    'CC': (dict(inter='sample', distance='correlation'), ref.correlation),
    'RKD-D': (dict(inter='sample', distance='rkd_distance'), ref.rkd_distance),
    'RKD-A': (dict(inter='sample', distance='rkd_angle'), ref.rkd_angle),
    'ICKD': (dict(inter='channel', distance='gram_l2'), lambda s, t: ref.gram_l2(s, t, 'channel')),
    'CWD': (dict(inter='channel', distance='kl', temperature=4.),
            lambda s, t: ref.kl(s, t, 4., 'channel')),
    'PKD': (dict(inter='channel', distance='pearson'), pearson_channel),
    'FKD': (dict(transform='attention_mask'), ref.fkd),
    'LKD': (dict(intra='local', distance='local_correlation', patch_grid=2),
            lambda s, t: ref.local_correlation(s, t, 2)),
    'ReviewKD-HCL': (dict(intra='multi_scale'), lambda s, t: ref.multi_scale(ref.l2, s, t)),
}


@pytest.mark.parametrize('name', METHODS)
def test_handcrafted_methods(name):
    arguments, reference = METHODS[name]
    loss = FeatureLoss(loss_weight=2., **arguments)
    for seed in range(10):
        student, teacher = ref.random_pair(seed, (4, 3, 4, 4), (6, 6, 8, 8))
        ref.assert_close(loss(student, teacher), 2 * reference(*ref.arrays(student, teacher)))


COMPOSITIONS = {
    'local-kl-sample': (
        dict(intra='local', patch_grid=4, inter='sample', distance='kl', temperature=8.),
        lambda s, t: ref.local(lambda a, b: ref.kl(a, b, 8., 'sample'), s, t, 4)),
    'local-pearson': (
        dict(intra='local', patch_grid=2, distance='pearson'),
        lambda s, t: ref.local(ref.pearson, s, t, 2)),
    'scales-gram': (
        dict(intra='multi_scale', inter='channel', distance='gram_l2'),
        lambda s, t: ref.multi_scale(lambda a, b: ref.gram_l2(a, b, 'channel'), s, t)),
    'scales-rkd': (
        dict(intra='multi_scale', inter='sample', distance='rkd_angle'),
        lambda s, t: ref.multi_scale(ref.rkd_angle, s, t)),
    # One position has no softmax over positions: the 1 x 1 scale is left out.
    'scales-cwd': (
        dict(intra='multi_scale', inter='channel', distance='kl', temperature=1.),
        lambda s, t: ref.multi_scale(lambda a, b: ref.kl(a, b, 1., 'channel'), s, t, (4, 2))),
    'attention-scales-cosine': (
        dict(transform='spatial_attention', intra='multi_scale', distance='cosine'),
        lambda s, t: ref.multi_scale(ref.cosine, ref.spatial_attention(s),
                                     ref.spatial_attention(t), (4, 2))),
    'channels-l2-sample': (
        dict(transform='channel_attention', inter='sample'),
        lambda s, t: ref.l2(ref.channel_attention(s), ref.channel_attention(t), 'sample')),
    'mask-local-l2-channel': (
        dict(transform='attention_mask', intra='local', inter='channel'),
        lambda s, t: ref.local(lambda a, b: ref.l2(a, b, 'channel'),
                               *ref.attention_mask(s, t), 2)),
}


@pytest.mark.parametrize('name', COMPOSITIONS)
def test_compositions(name):
    arguments, reference = COMPOSITIONS[name]
    loss = FeatureLoss(**arguments)
    for seed in range(10):
        student, teacher = ref.random_pair(seed, (4, 3, 5, 5), (6, 6, 9, 9))
        ref.assert_close(loss(student, teacher), reference(*ref.arrays(student, teacher)), 2e-5)


def test_defaults_and_registry():
    loss = MODELS.build(dict(type='FeatureLoss', _scope_='mmrazor'))
    student, teacher = ref.random_pair(0)
    ref.assert_close(loss(student, teacher), ref.l2(*ref.arrays(student, teacher)))
    assert FeatureLoss(distance='kl').distance.temperature == 1
    assert FeatureLoss(intra='local').intra.patch_grid == 2
    assert FeatureLoss(transform='random_mask', channels=3).transform.mask_ratio == 0.65


@pytest.mark.parametrize('scope', ['mmrazor', 'mmpretrain', 'autokd_no_such_scope'])
def test_operations_of_a_user(scope):
    """A registered operation is found by its bare name whatever the default scope is."""
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope(scope):
        loss = FeatureLoss(transform=dict(type='_DoubleForTests'), intra='multi_scale',
                           distance=dict(type='_MeanAbsoluteForTests'))
    student, teacher = ref.random_pair(0, (2, 2, 8, 8))
    expected = ref.multi_scale(lambda s, t: 2 * float(abs(s - t).mean()),
                               *ref.arrays(student, teacher))
    ref.assert_close(loss(student, teacher), expected)
    own = FeatureLoss(distance=dict(type='KLDistance', temperature=4., inter='channel'),
                      intra=dict(type='LocalTransform', patch_grid=2))
    named = FeatureLoss(distance='kl', temperature=4., inter='channel', intra='local')
    assert torch.equal(own(student, teacher), named(student, teacher))


@pytest.mark.parametrize('arguments,message', [
    (dict(distance='l3'), "FeatureLoss.distance: 'l3' is unknown, did you mean 'l2'"),
    (dict(transform='spatial'), "FeatureLoss.transform: 'spatial' is unknown, did you mean "
                                "'spatial_attention'"),
    (dict(transform='logits_only'), "FeatureLoss.transform: 'logits_only' is unknown"),
    (dict(intra='multiscale'), "FeatureLoss.intra: .* did you mean 'multi_scale'"),
    (dict(inter='samples'), "FeatureLoss.inter: .* did you mean 'sample'"),
    (dict(inter=dict(type='A')), 'FeatureLoss.inter: expects one of none, sample, channel'),
    (dict(distance=dict(p=1)), 'FeatureLoss.distance: expects one of .* or a dict with a type'),
    (dict(temperature=4), "FeatureLoss.temperature means something only with distance='kl'"),
    (dict(mask_ratio=0.5), "FeatureLoss.mask_ratio means something only with "
                           "transform='random_mask'"),
    (dict(patch_grid=2), "FeatureLoss.patch_grid means something only with intra='local'"),
    (dict(transform='random_mask'), 'FeatureLoss.channels: .* needs the number of channels'),
    (dict(distance='gram_l2'), "FeatureLoss.inter: distance='gram_l2' needs one of 'sample', "
                               "'channel', got 'none'"),
    (dict(distance='rkd_angle', inter='channel'), "needs one of 'sample', got 'channel'"),
    (dict(distance='local_correlation'), "FeatureLoss.intra: .* needs 'local', got 'none'"),
    (dict(transform='channel_attention', intra='local'), "FeatureLoss.intra: 'local' needs a map"),
    (dict(distance=dict(type='KLDistance'), inter='sample'), 'brings its own inter'),
    (dict(distance=dict(type='KLDistanc')), "FeatureLoss.distance.type: 'KLDistanc' is unknown, "
                                            "did you mean 'KLDistance'"),
    (dict(loss_weight='5'), 'FeatureLoss.loss_weight must be a number'),
    (dict(distance='kl', temperature=-1), 'KLDistance.temperature must be above 0'),
])
def test_errors_name_the_key_and_the_nearest_value(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        FeatureLoss(**arguments)
    assert '\n' not in str(error.value)


def test_errors_of_shapes():
    with pytest.raises(ValueError, match='FeatureLoss: the student has shape .* a connector'):
        FeatureLoss()(torch.randn(2, 3, 4, 4), torch.randn(2, 3, 8, 8))
    with pytest.raises(ValueError, match='FeatureLoss: got an empty batch'):
        FeatureLoss()(torch.randn(0, 3, 4, 4), torch.randn(0, 3, 4, 4))
    with pytest.raises(ValueError, match='patch_grid is 4, larger than the 2 x 2 map'):
        FeatureLoss(intra='local', patch_grid=4)(torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2))
    with pytest.raises(ValueError, match='positions of a channel'):
        FeatureLoss(intra='multi_scale', inter='channel', distance='kl')(
            torch.randn(2, 3, 1, 1), torch.randn(2, 3, 1, 1))


def test_names_do_not_collide_with_mmrazor():
    import mmrazor.models  # noqa: F401
    for name in ('FeatureLoss', 'L2Distance', 'ConvConnector'):
        assert MODELS.get(f'mmrazor.{name}').__module__.startswith('autokd_mm')


def test_what_is_not_given_has_its_default():
    assert FeatureLoss(transform='random_mask', channels=3).transform.mask_ratio == 0.65
    assert FeatureLoss(intra='local').intra.patch_grid == 2
    assert FeatureLoss(distance='kl').distance.temperature == 1
    weighted = FeatureLoss(region='foreground_background')
    assert weighted.region.background_weight == 0.5
    assert FeatureLoss(loss_weight=2).extra_repr() == 'loss_weight=2.0'


def test_a_batch_that_is_too_small_is_said_once_for_all_scales():
    """Two samples in three scales have no relations of three."""
    loss = FeatureLoss(intra='multi_scale', inter='sample', distance='rkd_distance')
    student = torch.randn(2, 3, 8, 8, requires_grad=True)
    with pytest.warns(UserWarning, match='needs at least 3, got 2') as said:
        assert loss(student, torch.randn(2, 3, 8, 8)) == 0
    assert len(said) == 1

import pytest
from mmengine.registry import MODELS as ROOT_MODELS

import autokd_mm
from autokd_mm import registry as ours

from mmrazor import registry as theirs  # behind ours, which makes MMRazor importable


@pytest.mark.parametrize('name', ours.__all__)
def test_the_registries_are_mmrazors_own(name):
    assert getattr(ours, name) is getattr(theirs, name)


@pytest.mark.parametrize('registry, names', [
    ('MODELS', ['FrozenTeacherDistill', 'FeatureLoss', 'LogitsLoss', 'ConvConnector',
                'IdentityConnector', 'CifarResNet', 'L2Distance', 'CosineDistance',
                'PearsonDistance', 'KLDistance', 'GramL2Distance', 'RKDDistance', 'RKDAngle',
                'CorrelationDistance', 'LocalCorrelationDistance', 'AttentionMaskTransform',
                'RandomMaskTransform', 'SpatialAttentionTransform', 'ChannelAttentionTransform',
                'MultiScaleTransform', 'LocalTransform', 'ConfigurableDistiller']),
    ('LOOPS', ['SearchLoop']),
    ('HOOKS', ['SparseTrainingHook', 'ViewReportHook']),
    ('DATASETS', ['Digits', 'SeededViews']),
    ('DATA_SAMPLERS', ['ViewSampler']),
])
def test_everything_is_found_with_its_scope(registry, names):
    for name in names:
        assert getattr(ours, registry).get(f'mmrazor.{name}').__name__ == name


def test_found_from_any_project():
    """As in a config of mmpretrain, mmdet or mmseg."""
    with ROOT_MODELS.switch_scope_and_registry('mmpretrain') as registry:
        loss = registry.build(dict(type='mmrazor.FeatureLoss', distance='cosine'))
    assert type(loss).__name__ == 'FeatureLoss'


def test_nothing_of_mmrazor_is_replaced():
    for name in ('SingleTeacherDistill', 'ConfigurableDistiller', 'KLDivergence', 'ATLoss'):
        assert ours.MODELS.get(f'mmrazor.{name}').__module__.startswith('mmrazor.')


def test_a_version():
    assert autokd_mm.__version__.count('.') == 2

"""What is compared: global and intra-spatial transforms of a pair of features."""
from autokd_mm.models.transforms.attention import (ChannelAttentionTransform,
                                                   SpatialAttentionTransform)
from autokd_mm.models.transforms.mask import AttentionMaskTransform, RandomMaskTransform
from autokd_mm.models.transforms.spatial import LocalTransform, MultiScaleTransform

__all__ = [
    'AttentionMaskTransform', 'ChannelAttentionTransform', 'LocalTransform',
    'MultiScaleTransform', 'RandomMaskTransform', 'SpatialAttentionTransform'
]

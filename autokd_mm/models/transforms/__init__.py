"""What is compared: global and intra-spatial transforms of a pair of features."""
from autokd_mm.models.transforms.attention import (ChannelAttentionTransform,
                                                   SpatialAttentionTransform)
from autokd_mm.models.transforms.mask import (AttentionMaskTransform, RandomMaskTransform,
                                              TeacherAttentionMaskTransform)
from autokd_mm.models.transforms.regions import (BatchBoxes, ForegroundBackgroundTransform,
                                                 InstancesTransform)
from autokd_mm.models.transforms.spatial import LocalTransform, MultiScaleTransform

__all__ = [
    'AttentionMaskTransform', 'BatchBoxes', 'ChannelAttentionTransform',
    'ForegroundBackgroundTransform', 'InstancesTransform', 'LocalTransform',
    'MultiScaleTransform', 'RandomMaskTransform', 'SpatialAttentionTransform',
    'TeacherAttentionMaskTransform'
]

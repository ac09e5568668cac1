"""The default options of every level (SPACE.md gives the source of each)."""
from __future__ import annotations

from typing import Any, Dict, Tuple

DEFAULT_OPTIONS: Dict[str, Tuple[Any, ...]] = dict(
    transform=('logits_only', 'none', 'spatial_attention', 'channel_attention', 'attention_mask',
               'random_mask'),
    mask_ratio=(0.5, 0.65, 0.75),
    connector=('identity', 'conv1x1', 'conv1x1_bn', 'conv3x3'),
    intra=('none', 'multi_scale', 'local'),
    patch_grid=(2, 4),
    inter=('none', 'sample', 'channel'),
    distance=('l2', 'cosine', 'pearson', 'kl', 'gram_l2', 'rkd_distance', 'rkd_angle',
              'correlation', 'local_correlation'),
    temperature=(1, 4, 8, 16),
    feature_weight=(1, 5, 25, 50),
    logits=('none', 'kl', 'pearson_inter', 'pearson_intra', 'pearson_both'),
    logits_temperature=(1, 4, 8, 16),
    logits_weight=(0.1, 0.5, 1, 5),
)

# The relation options that SPACE.md calls extras: without them and with one connector the space
# is the one of the supplement.
RELATION_DISTANCES = ('rkd_distance', 'rkd_angle', 'correlation', 'local_correlation')

# Levels whose options are numbers a user may choose freely; the others name an operation.
NUMERIC_LEVELS = ('mask_ratio', 'patch_grid', 'temperature', 'feature_weight',
                  'logits_temperature', 'logits_weight')

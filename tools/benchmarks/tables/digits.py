# The sub-space of the table of digits: every level but the connector (the shapes differ, one is
# enough), two or three options each.
_base_ = '../../../configs/search/digits.py'

train_cfg = dict(
    reward=None,
    warm_start=[],
    space=dict(mask_ratio=[0.5],
               connector=['conv1x1_bn'],
               patch_grid=[2],
               distance=['l2', 'cosine', 'pearson', 'kl', 'gram_l2', 'rkd_distance',
                         'correlation'],
               temperature=[4],
               feature_weight=[1, 5, 25],
               logits=['none', 'kl', 'pearson_both'],
               logits_temperature=[4],
               logits_weight=[0.5, 5]))

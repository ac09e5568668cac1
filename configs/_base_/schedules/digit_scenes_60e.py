# For a segmentor that learns twice as long as its student.
_base_ = './digit_scenes_30e.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=60, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=60)

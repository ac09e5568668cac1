# Segmentors learn where digits are before they learn which: longer than detectors, and faster.
_base_ = './digit_scenes_20e.py'

optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=30, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)

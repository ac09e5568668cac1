# For a teacher of a student that learns for 24 epochs.
_base_ = './photos_24e.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=40, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=40, val_interval=40)

# CIFAR-100 at 224 px with the augmentation of DeiT: RandAugment and random erasing (supplement,
# section 1.3). A teacher at 32 px sees the same augmented images, resized.
_base_ = './cifar100.py'

_mean, _std = [129.285, 124.0575, 112.4295], [68.1615, 65.382, 70.4055]  # the files are RGB

train_dataloader = dict(
    batch_size=128,
    dataset=dict(pipeline=[
        dict(type='Resize', scale=224, interpolation='bicubic', backend='pillow'),
        dict(type='RandomCrop', crop_size=224, padding=28, pad_val=tuple(_mean)),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10,
             magnitude_level=9, magnitude_std=0.5,
             hparams=dict(pad_val=[round(value) for value in _mean], interpolation='bicubic')),
        dict(type='RandomErasing', erase_prob=0.25, mode='rand', min_area_ratio=0.02,
             max_area_ratio=1 / 3, fill_color=_mean, fill_std=_std),
        dict(type='PackInputs'),
    ]))

val_dataloader = dict(
    batch_size=128,
    dataset=dict(pipeline=[
        dict(type='Resize', scale=224, interpolation='bicubic', backend='pillow'),
        dict(type='PackInputs'),
    ]))
test_dataloader = val_dataloader

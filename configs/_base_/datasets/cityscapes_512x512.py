# Cityscapes in random crops of 512 x 512 and batches of 8, tested on whole images at one scale
# (Auto-KD's supplement, section 2). The rest of the augmentation is mmseg's.
_base_ = 'mmseg::_base_/datasets/cityscapes.py'

crop_size = (512, 512)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]))

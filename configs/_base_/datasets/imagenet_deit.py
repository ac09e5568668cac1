# ImageNet at 224 px with the augmentation of DeiT, RandAugment and random erasing, in batches of
# 128 (supplement, section 1.3).
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'

data_root = 'data/imagenet'

train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader

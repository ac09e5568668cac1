# ImageNet as mmpretrain trains ResNets on it: random crops of 224 and horizontal flips, tested on
# the centre of 256. The batch is Auto-KD's supplement's, section 1.2.
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32.py'

data_root = 'data/imagenet'

train_dataloader = dict(batch_size=256)
val_dataloader = dict(batch_size=256)
test_dataloader = val_dataloader

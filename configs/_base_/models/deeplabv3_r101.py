# mmseg's DeepLabV3 with a dilated ResNet-101 of ImageNet, for crops of 512 x 512.
_base_ = 'mmseg::_base_/models/deeplabv3_r50-d8.py'

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101))

_base_ = [
    '../_base_/pairs/vgg13_mobilenetv2_cifar100.py',
    '../_base_/schedules/cifar100_search.py',
]

train_cfg = dict(layers=dict(student='backbone.blocks.6', teacher='backbone.block4'))

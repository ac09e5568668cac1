_base_ = [
    '../_base_/pairs/resnet32x4_shufflenetv2_cifar100.py',
    '../_base_/schedules/cifar100_search.py',
]

train_cfg = dict(layers=dict(student='backbone.layers.2', teacher='backbone.layer3'))

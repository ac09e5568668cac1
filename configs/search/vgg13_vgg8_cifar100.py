_base_ = [
    '../_base_/pairs/vgg13_vgg8_cifar100.py',
    '../_base_/schedules/cifar100_search.py',
]

train_cfg = dict(layers=dict(student='backbone.block4', teacher='backbone.block4'))

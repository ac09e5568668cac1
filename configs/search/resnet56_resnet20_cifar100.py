_base_ = [
    '../_base_/pairs/resnet56_resnet20_cifar100.py',
    '../_base_/schedules/cifar100_search.py',
]

train_cfg = dict(layers=dict(student='backbone.layer3', teacher='backbone.layer3'))

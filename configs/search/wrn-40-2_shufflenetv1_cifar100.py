_base_ = [
    '../_base_/pairs/wrn-40-2_shufflenetv1_cifar100.py',
    '../_base_/schedules/cifar100_search.py',
]

train_cfg = dict(layers=dict(student='backbone.layer3', teacher='backbone.layer3'))

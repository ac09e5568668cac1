_base_ = [
    '../_base_/models/resnet56_cifar.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(shortcut='conv'), head=dict(num_classes=100))

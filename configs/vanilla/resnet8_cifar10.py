_base_ = [
    '../_base_/models/resnet8_cifar.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py',
]

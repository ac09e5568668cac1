_base_ = [
    '../_base_/models/cifar100/shufflenetv1.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.shufflenetv1}}

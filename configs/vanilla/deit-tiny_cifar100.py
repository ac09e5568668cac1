_base_ = [
    '../_base_/models/cifar100/deit-tiny.py',
    '../_base_/datasets/cifar100_224.py',
    '../_base_/schedules/deit_300e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.deit_tiny}}

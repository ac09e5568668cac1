_base_ = [
    '../_base_/models/imagenet/deit-tiny.py',
    '../_base_/datasets/imagenet_deit.py',
    '../_base_/schedules/deit_300e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.deit_tiny}}

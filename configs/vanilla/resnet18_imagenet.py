_base_ = [
    '../_base_/models/imagenet/resnet18.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.resnet18}}

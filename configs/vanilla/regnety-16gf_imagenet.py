# The teacher of DeiT-Tiny, to be tested with its published weights.
_base_ = [
    '../_base_/models/imagenet/regnety-16gf.py',
    '../_base_/datasets/imagenet_deit.py',
    '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.regnety_16gf}}

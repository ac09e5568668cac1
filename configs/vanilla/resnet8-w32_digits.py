_base_ = [
    '../_base_/models/resnet8_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits_30e.py',
    '../_base_/default_runtime.py',
]

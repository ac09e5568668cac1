_base_ = [
    '../_base_/models/deit-tiny_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/deit_digits_30e.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.deit_tiny}}

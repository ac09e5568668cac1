_base_ = ['./resnet8-w32_digits.py']

model = dict(backbone=dict(base_channels=4), head=dict(in_channels=16))

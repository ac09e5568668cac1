# The three pairs of resnet56_resnet8_3layers_cifar10.py, each compared in its own way.
_base_ = './resnet56_resnet8_3layers_cifar10.py'

train_cfg = dict(layers=dict(shared=False))

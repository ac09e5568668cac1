# The search of ResNet-20, for a student small enough for a CPU.
_base_ = './resnet56_resnet20_cifar10.py'

model = dict(architecture=dict(backbone=dict(depth=8)))

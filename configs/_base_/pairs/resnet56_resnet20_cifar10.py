# ResNet-56 teaches ResNet-20 on CIFAR-10 (He et al. 2016, sec. 4.2; option A shortcuts).
_base_ = ['../datasets/cifar10.py', '../schedules/cifar_240e.py', '../default_runtime.py']

# A published checkpoint (akamaster/pytorch_resnet_cifar10) is read as it is.
teacher_ckpt = 'checkpoints/cifar10_resnet56_akamaster.pth'

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=20, shortcut='pad'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=64,
                  loss=dict(type='CrossEntropyLoss'))),
    teacher=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=56, shortcut='pad'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=64,
                  loss=dict(type='CrossEntropyLoss'))),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

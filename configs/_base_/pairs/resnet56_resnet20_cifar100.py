# ResNet-56 teaches ResNet-20 on CIFAR-100, a pair of the CRD protocol (supplement, section 1.1).
_base_ = ['../datasets/cifar100.py', '../schedules/cifar_240e.py', '../default_runtime.py']

# A published checkpoint (chenyaofo/pytorch-cifar-models) is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet56_chenyaofo.pth'

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=20, shortcut='conv'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=100, in_channels=64,
                  loss=dict(type='CrossEntropyLoss'))),
    teacher=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=56, shortcut='conv'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=100, in_channels=64,
                  loss=dict(type='CrossEntropyLoss'))),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

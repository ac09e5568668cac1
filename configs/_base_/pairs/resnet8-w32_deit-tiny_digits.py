# A ResNet-8 teaches a small DeiT on scikit-learn's digits.
_base_ = ['../datasets/digits.py', '../models/deit-tiny_digits.py', '../default_runtime.py']

# None: a search trains the teacher first and keeps it as teacher.pth in its work dir.
teacher_ckpt = None

_base_.deit_tiny.data_preprocessor = _base_.data_preprocessor

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.deit_tiny}},
    teacher=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=32, in_channels=1,
                      shortcut='pad'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=128,
                  loss=dict(type='CrossEntropyLoss'))),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

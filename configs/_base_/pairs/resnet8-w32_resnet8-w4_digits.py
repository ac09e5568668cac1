# A wide ResNet-8 teaches a narrow one (60 times fewer parameters) on scikit-learn's digits.
_base_ = ['../datasets/digits.py', '../schedules/digits_30e.py', '../default_runtime.py']

# None: a search trains the teacher first and keeps it as teacher.pth in its work dir.
teacher_ckpt = None

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=dict(
        type='ImageClassifier',
        data_preprocessor={{_base_.data_preprocessor}},
        backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=4, in_channels=1,
                      shortcut='pad'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=16,
                  loss=dict(type='CrossEntropyLoss'))),
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

# Two teachers. The student's last stage is compared with that of each or of one, its logits with
# the mean of theirs or with those of one.
_base_ = './resnet56_resnet8_cifar10.py'

teacher_ckpt = ['checkpoints/cifar10_resnet56_akamaster.pth',
                'checkpoints/cifar10_resnet20_akamaster.pth']

_resnet56 = _base_.model.teacher
_resnet20 = dict(
    type='ImageClassifier',
    data_preprocessor=_resnet56.data_preprocessor,
    backbone=dict(type='mmrazor.CifarResNet', depth=20, shortcut='pad'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))
model = dict(
    teacher=dict(_delete_=True, type='mmrazor.Teachers', teachers=[_resnet56, _resnet20],
                 mean_logits='head.fc'),
    teacher_ckpt=teacher_ckpt)
train_cfg = dict(layers=dict(
    student=['backbone.layer3', 'backbone.layer3'],
    teacher=['0.backbone.layer3', '1.backbone.layer3'],
    teacher_logits='mean_logits', factors='cka'))

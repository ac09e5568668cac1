# ResNet-32 with four times the channels, 7,433,860 parameters (CRD, ICLR 2020).
resnet32x4 = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmrazor.CifarResNet', depth=32, stem_channels=32, base_channels=64, shortcut='conv'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=256,
              loss=dict(type='CrossEntropyLoss')))

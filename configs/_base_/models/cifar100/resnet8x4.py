# ResNet-8 with four times the channels, 1,233,540 parameters (CRD, ICLR 2020).
resnet8x4 = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmrazor.CifarResNet', depth=8, stem_channels=32, base_channels=64, shortcut='conv'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=256,
              loss=dict(type='CrossEntropyLoss')))

# ResNet-110 with option B shortcuts, 1,736,564 parameters (He et al., CVPR 2016; CRD, ICLR 2020).
resnet110 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarResNet', depth=110, shortcut='conv'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))

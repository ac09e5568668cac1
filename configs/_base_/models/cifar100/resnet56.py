# ResNet-56 with option B shortcuts, 861,620 parameters (He et al., CVPR 2016; CRD, ICLR 2020).
resnet56 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarResNet', depth=56, shortcut='conv'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))

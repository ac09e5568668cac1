# VGG-8 with BatchNorm and one linear layer, 3,965,028 parameters (CRD, ICLR 2020).
vgg8 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarVGG', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=512,
              loss=dict(type='CrossEntropyLoss')))

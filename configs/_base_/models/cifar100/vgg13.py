# VGG-13 with BatchNorm and one linear layer, 9,462,180 parameters (CRD, ICLR 2020).
vgg13 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarVGG', depth=13),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=512,
              loss=dict(type='CrossEntropyLoss')))

# MobileNetV2 at half width, 812,836 parameters (CRD, ICLR 2020).
mobilenetv2 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarMobileNetV2', widen_factor=0.5),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=1280,
              loss=dict(type='CrossEntropyLoss')))

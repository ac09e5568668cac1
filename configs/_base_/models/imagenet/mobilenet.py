# MobileNet V1, 4,231,976 parameters (Howard et al., arXiv 1704.04861).
mobilenet = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.MobileNetV1'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=1024,
              loss=dict(type='CrossEntropyLoss'), topk=(1, 5)))

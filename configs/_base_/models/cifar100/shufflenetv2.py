# ShuffleNetV2 at width 1, 1,355,528 parameters (CRD, ICLR 2020).
shufflenetv2 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarShuffleNetV2', widen_factor=1.0),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=1024,
              loss=dict(type='CrossEntropyLoss')))

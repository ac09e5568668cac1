# ShuffleNet with 3 groups, 949,258 parameters (CRD, ICLR 2020).
shufflenetv1 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarShuffleNetV1', groups=3),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=960,
              loss=dict(type='CrossEntropyLoss')))

# WRN-40-2, 2,255,156 parameters (Zagoruyko and Komodakis, BMVC 2016).
wrn_40_2 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.WideResNet', depth=40, widen_factor=2),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=128,
              loss=dict(type='CrossEntropyLoss')))

# WRN-16-2, 703,284 parameters (Zagoruyko and Komodakis, BMVC 2016).
wrn_16_2 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.WideResNet', depth=16, widen_factor=2),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=128,
              loss=dict(type='CrossEntropyLoss')))

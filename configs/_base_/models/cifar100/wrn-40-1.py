# WRN-40-1, 569,780 parameters (Zagoruyko and Komodakis, BMVC 2016).
wrn_40_1 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.WideResNet', depth=40, widen_factor=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))

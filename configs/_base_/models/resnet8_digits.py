# One grey channel. Width, not depth, is what 8x8 scans ask for: base_channels tells big from small.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmrazor.CifarResNet', depth=8, base_channels=32, in_channels=1, shortcut='pad'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

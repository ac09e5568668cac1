# Option A shortcuts; configs for CIFAR-100 override shortcut and num_classes.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmrazor.CifarResNet', depth=20, base_channels=16, shortcut='pad'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

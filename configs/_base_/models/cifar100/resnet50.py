# The ResNet-50 of ImageNet with a 3x3 stem of stride 1, 23,705,252 parameters (CRD, ICLR 2020).
resnet50 = dict(
    type='ImageClassifier',
    backbone=dict(type='mmpretrain.ResNet_CIFAR', depth=50, zero_init_residual=False),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, in_channels=2048,
              loss=dict(type='CrossEntropyLoss')))

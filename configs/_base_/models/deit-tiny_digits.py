# DeiT-Tiny's width (192 dimensions, 3 heads) and two of its twelve layers, for 8x8 images with one
# channel: patches of 2 x 2 pixels.
deit_tiny = dict(
    type='ImageClassifier',
    backbone=dict(
        type='DistilledVisionTransformer',
        arch=dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=768),
        img_size=8, patch_size=2, in_channels=1),
    neck=None,
    head=dict(type='mmrazor.DeiTDistillHead', num_classes=10, in_channels=192,
              loss=dict(type='CrossEntropyLoss')),
    init_cfg=[
        dict(type='TruncNormal', layer='Linear', std=.02),
        dict(type='Constant', layer='LayerNorm', val=1., bias=0.),
    ])

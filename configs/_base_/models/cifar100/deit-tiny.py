# DeiT-Tiny with a distillation token, 224 px: 192 dimensions, 12 layers, 3 heads (Touvron et al.,
# ICML 2021). Mixup and CutMix as its authors have them; a search leaves them out, because no cached
# teacher can know the mixed images.
deit_tiny = dict(
    type='ImageClassifier',
    backbone=dict(type='DistilledVisionTransformer', arch='deit-tiny', img_size=224, patch_size=16),
    neck=None,
    head=dict(
        type='mmrazor.DeiTDistillHead', num_classes=100, in_channels=192,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
    init_cfg=[
        dict(type='TruncNormal', layer='Linear', std=.02),
        dict(type='Constant', layer='LayerNorm', val=1., bias=0.),
    ],
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]))

# FGD: Yang et al., CVPR 2022, the feature loss of its focal part, on the levels P2 to P5 of the
# FPN. The losses between attention maps and between global contexts are left out.
_base_ = '../_base_/pairs/faster_rcnn_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', transform='teacher_attention_mask',
                region='foreground_background', background_weight=0.5, distance='l2',
                # alpha C, with the paper's alpha for two-stage detectors
                loss_weight=0.0128)
            for level in range(2, 6)
        }))

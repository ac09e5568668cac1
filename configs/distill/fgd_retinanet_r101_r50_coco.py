# FGD: Yang et al., CVPR 2022, the feature loss of its focal part, on every level of the FPN. The
# losses between attention maps and between global contexts are left out.
_base_ = '../_base_/pairs/retinanet_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', transform='teacher_attention_mask',
                region='foreground_background', background_weight=0.5, distance='l2',
                # alpha C, with the paper's alpha for RetinaNet
                loss_weight=0.256)
            for level in range(3, 8)
        }))

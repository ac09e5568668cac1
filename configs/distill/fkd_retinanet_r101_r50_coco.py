# FKD: Zhang and Ma, ICLR 2021, the attention-guided part, on every level of the FPN.
_base_ = '../_base_/pairs/retinanet_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', transform='attention_mask', distance='l2',
                loss_weight=1)
            for level in range(3, 8)
        }))

# FKD: Zhang and Ma, ICLR 2021, the attention-guided part, on the levels P2 to P5 of the FPN.
_base_ = '../_base_/pairs/faster_rcnn_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', transform='attention_mask', distance='l2',
                loss_weight=1)
            for level in range(2, 6)
        }))

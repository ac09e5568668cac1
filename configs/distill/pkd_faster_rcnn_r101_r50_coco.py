# PKD: Cao et al., NeurIPS 2022, on the levels P2 to P5 of the FPN.
_base_ = '../_base_/pairs/faster_rcnn_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', inter='channel', distance='pearson',
                loss_weight=5)
            for level in range(2, 6)
        }))

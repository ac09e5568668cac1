# MGD: Yang et al., ECCV 2022, on every level of the FPN.
# The mask ratio is the paper's for one-stage detectors.
_base_ = '../_base_/pairs/retinanet_r101_r50_coco.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_p{level}': dict(
                type='mmrazor.FeatureLoss', transform='random_mask', mask_ratio=0.65,
                channels=256, distance='l2',
                loss_weight=1)
            for level in range(3, 8)
        }))

# MGD: Yang et al., ECCV 2022, on every level of the FPN.
_base_ = './fitnet_digit_scenes_faster_rcnn_room.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_feature_{level}': dict(
                transform='random_mask', mask_ratio=0.5, channels=64)
            for level in range(3)
        }))

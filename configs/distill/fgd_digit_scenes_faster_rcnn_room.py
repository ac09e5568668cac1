# FGD: Yang et al., CVPR 2022, the feature loss of its focal part, on every level of the FPN.
_base_ = './fitnet_digit_scenes_faster_rcnn_room.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_feature_{level}': dict(
                transform='teacher_attention_mask', region='foreground_background',
                background_weight=0.5)
            for level in range(3)
        }))

# PKD: Cao et al., NeurIPS 2022, on every level of the FPN.
_base_ = './fitnet_digit_scenes_faster_rcnn_room.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_feature_{level}': dict(
                inter='channel', distance='pearson', loss_weight=5 / 3)
            for level in range(3)
        }))

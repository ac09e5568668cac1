# PKD: Cao et al., NeurIPS 2022, on the map that the classes are read from.
_base_ = './fitnet_digit_scenes_deeplabv3_room.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            loss_feature=dict(inter='channel', distance='pearson', loss_weight=5))))

# FKD: Zhang and Ma, ICLR 2021, the attention-guided part, on every level of the FPN.
_base_ = './fitnet_digit_scenes_retinanet_room.py'

model = dict(
    distiller=dict(
        distill_losses={
            f'loss_feature_{level}': dict(
                transform='attention_mask')
            for level in range(3)
        }))

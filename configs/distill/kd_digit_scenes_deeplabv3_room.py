# KD: Hinton et al. 2015, at every position, at temperature 4.
_base_ = '../_base_/pairs/digit_scenes_deeplabv3_room.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            scores=dict(type='mmrazor.ModuleOutputs', source='decode_head.conv_seg')),
        teacher_recorders=dict(
            scores=dict(type='mmrazor.ModuleOutputs', source='decode_head.conv_seg')),
        distill_losses=dict(
            loss_scores=dict(
                type='mmrazor.LogitsLoss', distance='kl', temperature=4, loss_weight=1)),
        loss_forward_mappings=dict(
            loss_scores=dict(
                student=dict(recorder='scores', from_student=True),
                teacher=dict(recorder='scores', from_student=False)))))

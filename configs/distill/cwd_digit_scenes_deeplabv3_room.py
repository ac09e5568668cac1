# CWD: Shu et al., ICCV 2021, on the score maps, tau = 4.
_base_ = '../_base_/pairs/digit_scenes_deeplabv3_room.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            scores=dict(type='mmrazor.ModuleOutputs', source='decode_head.conv_seg')),
        teacher_recorders=dict(
            scores=dict(type='mmrazor.ModuleOutputs', source='decode_head.conv_seg')),
        distill_losses=dict(
            loss_scores=dict(
                type='mmrazor.FeatureLoss', inter='channel', distance='kl', temperature=4,
                loss_weight=1)),
        loss_forward_mappings=dict(
            loss_scores=dict(
                student=dict(recorder='scores', from_student=True),
                teacher=dict(recorder='scores', from_student=False)))))

# FitNet: Romero et al., ICLR 2015, on the map that the classes are read from.
_base_ = '../_base_/pairs/digit_scenes_deeplabv3_room.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='decode_head.bottleneck')),
        teacher_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='decode_head.bottleneck')),
        distill_losses=dict(
            loss_feature=dict(type='mmrazor.FeatureLoss', distance='l2', loss_weight=1)),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student=dict(recorder='feature', from_student=True),
                teacher=dict(recorder='feature', from_student=False)))))

# FitNet: Romero et al., ICLR 2015, on every level of the FPN.
_base_ = '../_base_/pairs/digit_scenes_retinanet_room.py'

model = dict(
    distiller=dict(
        student_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        # the levels share the weight of the method
        distill_losses={
            f'loss_feature_{level}': dict(
                type='mmrazor.FeatureLoss', distance='l2', loss_weight=1 / 3)
            for level in range(3)
        },
        loss_forward_mappings={
            f'loss_feature_{level}': dict(
                student=dict(recorder='fpn', from_student=True, data_idx=level),
                teacher=dict(recorder='fpn', from_student=False, data_idx=level))
            for level in range(3)
        }))

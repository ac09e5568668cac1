# ICKD: Liu et al., ICCV 2021.
_base_ = '../_base_/pairs/resnet56_resnet20_cifar10.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3')),
        teacher_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3')),
        distill_losses=dict(
            loss_feature=dict(
                type='mmrazor.FeatureLoss',
                transform='none',
                intra='none',
                inter='channel',
                distance='gram_l2',
                loss_weight=5)),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student=dict(recorder='feature', from_student=True),
                teacher=dict(recorder='feature', from_student=False)))))

# FitNet: Romero et al., ICLR 2015, on the map that the classes are read from.
_base_ = '../_base_/pairs/digit_scenes_deeplabv3.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='decode_head.bottleneck')),
        teacher_recorders=dict(
            feature=dict(type='mmrazor.ModuleOutputs', source='decode_head.bottleneck')),
        connectors=dict(
            connector=dict(type='mmrazor.ConvConnector', in_channels=32, out_channels=48)),
        distill_losses=dict(
            loss_feature=dict(type='mmrazor.FeatureLoss', distance='l2', loss_weight=1)),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student=dict(recorder='feature', from_student=True, connector='connector'),
                teacher=dict(recorder='feature', from_student=False)))))

# CrossKD: Wang et al., CVPR 2024. What the student's towers have in front of their last convolution
# goes through the rest of the teacher's head.
_base_ = '../_base_/pairs/retinanet_r101_r50_coco.py'


def crossed(what):
    return {
        f'student_{what}_{level}': dict(
            recorder=f'cross_{what}', from_student=True, record_idx=level, data_idx=0,
            connector=f'cross_{what}')
        for level in range(5)
    }


def said(what):
    return {
        f'teacher_{what}_{level}': dict(recorder=what, from_student=False, record_idx=level)
        for level in range(5)
    }


model = dict(
    distiller=dict(
        _delete_=True,
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(
            cross_classes=dict(type='mmrazor.ModuleInputs', source='bbox_head.cls_convs.3'),
            cross_boxes=dict(type='mmrazor.ModuleInputs', source='bbox_head.reg_convs.3')),
        teacher_recorders=dict(
            classes=dict(type='mmrazor.ModuleOutputs', source='bbox_head.retina_cls'),
            boxes=dict(type='mmrazor.ModuleOutputs', source='bbox_head.retina_reg')),
        connectors=dict(
            cross_classes=dict(
                type='mmrazor.CrossHeadConnector',
                modules=['bbox_head.cls_convs.3', 'bbox_head.retina_cls']),
            cross_boxes=dict(
                type='mmrazor.CrossHeadConnector',
                modules=['bbox_head.reg_convs.3', 'bbox_head.retina_reg'])),
        distill_losses=dict(
            loss_classes=dict(
                type='mmrazor.ClassMapsLoss', classes=80, distance='weighted_bce'),
            loss_boxes=dict(
                type='mmrazor.BoxesLoss', classes=80, distance='giou', by='confidence',
                coding=dict(type='delta'))),
        loss_forward_mappings=dict(
            loss_classes=dict(crossed('classes'), **said('classes')),
            loss_boxes=dict(crossed('boxes'), **said('boxes'), **said('classes')))))

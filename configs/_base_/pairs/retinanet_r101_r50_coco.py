# RetinaNet with ResNet-101 teaches RetinaNet with ResNet-50 on COCO: 2x schedule, horizontal flip,
# backbone from ImageNet (supplement, section 1.4). The feature is the FPN.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'

custom_imports = dict(imports=['autokd_mm'], allow_failed_imports=False)

# of mmdet's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
                'retinanet_r101_fpn_2x_coco/retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth')

model = dict(
    _delete_=True,
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.model}},
    teacher=dict(cfg_path='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py', pretrained=False),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        loss_forward_mappings={
            f'loss_p{level + 3}': dict(
                student=dict(recorder='fpn', from_student=True, data_idx=level),
                teacher=dict(recorder='fpn', from_student=False, data_idx=level))
            for level in range(5)
        }))

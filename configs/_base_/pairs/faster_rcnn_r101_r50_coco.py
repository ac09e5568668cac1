# Faster R-CNN with ResNet-101 teaches Faster R-CNN with ResNet-50 on COCO: 2x schedule, horizontal
# flip, backbone from ImageNet (supplement, section 1.4). The feature is the FPN, without P6, which
# is every second pixel of P5.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py'

custom_imports = dict(imports=['autokd_mm'], allow_failed_imports=False)

# of mmdet's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
                'faster_rcnn_r101_fpn_2x_coco/'
                'faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth')

model = dict(
    _delete_=True,
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.model}},
    teacher=dict(cfg_path='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py', pretrained=False),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='mmrazor.ModuleOutputs', source='neck')),
        loss_forward_mappings={
            f'loss_p{level + 2}': dict(
                student=dict(recorder='fpn', from_student=True, data_idx=level),
                teacher=dict(recorder='fpn', from_student=False, data_idx=level))
            for level in range(4)
        }))

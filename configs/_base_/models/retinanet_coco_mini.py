# RetinaNet: both networks have a MobileNetV2 that begins with ImageNet's weights; the student has
# a thin FPN and head. It is mmpretrain's MobileNetV2, as its checkpoint is: that of mmdet has other
# names for the same layers, and would be left as it was drawn. Another file of the backbone:
#     --cfg-options backbone_ckpt=MOBILENETV2.pth
backbone_ckpt = ('https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/'
                 'mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth')


def retinanet(channels, convs):
    return dict(
        type='RetinaNet',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32),
        backbone=dict(
            type='mmpretrain.MobileNetV2',
            out_indices=(2, 4, 7),
            frozen_stages=1,
            norm_eval=True,
            init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=backbone_ckpt)),
        neck=dict(type='FPN', in_channels=[32, 96, 1280], out_channels=channels, num_outs=4),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=10,
            in_channels=channels,
            feat_channels=channels,
            stacked_convs=convs,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=3,
                scales_per_octave=3,
                ratios=[0.5, 1.0, 2.0],
                strides=[8, 16, 32, 64]),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_cls=dict(
                type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0,
                ignore_iof_thr=-1),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        test_cfg=dict(
            nms_pre=500,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100))


student_network = retinanet(32, 1)
teacher_network = retinanet(96, 2)

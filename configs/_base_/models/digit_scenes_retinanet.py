# RetinaNet for scenes of 128x128 with digits of 20 to 54 pixels: strides 8, 16 and 32, small
# anchors, no pretrained weights, so nothing is frozen.


def retinanet(width, channels):
    return dict(
        type='RetinaNet',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32),
        backbone=dict(
            type='ResNet',
            depth=18,
            base_channels=width,
            norm_cfg=dict(type='BN', requires_grad=True),
            norm_eval=False),
        neck=dict(
            type='FPN',
            in_channels=[width, 2 * width, 4 * width, 8 * width],
            out_channels=channels,
            start_level=1,
            num_outs=3),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=10,
            in_channels=channels,
            feat_channels=channels,
            stacked_convs=2,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=2,
                scales_per_octave=3,
                ratios=[1.0, 1.7],  # height by width
                strides=[8, 16, 32]),
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
            nms_pre=300,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=30))


student_network = retinanet(width=8, channels=32)
teacher_network = retinanet(width=24, channels=64)

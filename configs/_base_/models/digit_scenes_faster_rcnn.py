# Faster R-CNN for scenes of 128x128 with digits of 20 to 54 pixels: strides 8, 16 and 32, small
# anchors, few proposals, no pretrained weights, so nothing is frozen.


def faster_rcnn(width, channels):
    return dict(
        type='FasterRCNN',
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
        rpn_head=dict(
            type='RPNHead',
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=2,
                scales_per_octave=2,
                ratios=[1.0, 1.7],  # height by width
                strides=[8, 16, 32]),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=5, sampling_ratio=2),
                out_channels=channels,
                finest_scale=16,
                featmap_strides=[8, 16, 32]),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=channels,
                fc_out_channels=2 * channels,
                roi_feat_size=5,
                num_classes=10,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
                reg_class_agnostic=True,
                loss_cls=dict(
                    type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type='L1Loss', loss_weight=1.0))),
        train_cfg=dict(
            rpn=dict(
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                    match_low_quality=True, ignore_iof_thr=-1),
                sampler=dict(
                    type='RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1,
                    add_gt_as_proposals=False),
                allowed_border=-1,
                pos_weight=-1,
                debug=False),
            rpn_proposal=dict(
                nms_pre=300, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7),
                min_bbox_size=0),
            rcnn=dict(
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
                    match_low_quality=False, ignore_iof_thr=-1),
                sampler=dict(
                    type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1,
                    add_gt_as_proposals=True),
                pos_weight=-1,
                debug=False)),
        test_cfg=dict(
            rpn=dict(
                nms_pre=300, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7),
                min_bbox_size=0),
            rcnn=dict(
                score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=30)))


student_network = faster_rcnn(width=8, channels=32)
teacher_network = faster_rcnn(width=24, channels=64)

# A search on a few hundred photos in COCO's layout, with small sides, for a CPU:
#     --cfg-options data_root=DIR backbone_ckpt=MOBILENETV2.pth
# DIR has annotations/instances_{train,val}2017.json, train2017/ and val2017/. Both networks have
# the same backbone, from ImageNet (mmpretrain's checkpoint); the student has a thin FPN and head.
_base_ = '../_base_/digit_scenes_detection_runtime.py'

data_root = 'data/coco_mini/'
backbone_ckpt = ('https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/'
                 'mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth')

# None: the search trains the teacher first and keeps it as teacher.pth in its work dir.
teacher_ckpt = None

side = (256, 256)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=side, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=side, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(
    type='CocoMetric', ann_file=data_root + 'annotations/instances_val2017.json', metric='bbox')
test_dataloader = val_dataloader
test_evaluator = val_evaluator


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
            type='MobileNetV2',
            out_indices=(2, 4, 7),
            frozen_stages=1,
            norm_eval=True,
            init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=backbone_ckpt)),
        neck=dict(type='FPN', in_channels=[32, 96, 1280], out_channels=channels, num_outs=4),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=80,
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


model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=retinanet(32, 1),
    teacher=retinanet(96, 2),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))
data_preprocessor = None

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=12, convert_to_iter_based=True),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)

train_cfg = dict(
    type='mmrazor.SearchLoop',
    trials=10,
    sampler=dict(type='MCTSSampler'),
    warm_start=['FitNet', 'PKD', 'FGD-focal'],
    layers=dict(student='neck', teacher='neck'),
    proxy=dict(images=96, held_out=32, epochs=2, views=1, dtype='float16'),
    reward='auto',
    final_round=dict(best=2, length=2, seeds=1),
    train_teacher=True,
    full_training=dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=6))

# A search on CamVid's 367 street scenes (11 classes, 255 is void), with small crops, for a CPU:
#     --cfg-options data_root=DIR backbone_ckpt=MOBILENETV2.pth
# DIR has img/{train,val}/*.jpg and ann/{train,val}/*.png. The teacher has an ImageNet MobileNetV2
# (mmpretrain's checkpoint), the student one of half the width that begins from nothing.
_base_ = '../_base_/digit_scenes_segmentation_runtime.py'

data_root = 'data/camvid/'
backbone_ckpt = ('https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/'
                 'mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth')

# None: the search trains the teacher first and keeps it as teacher.pth in its work dir.
teacher_ckpt = None

crop_size = (160, 160)
scale = (240, 180)  # half of the camera's
metainfo = dict(
    classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car',
             'pedestrian', 'bicyclist'),
    palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
             [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
             [0, 128, 192]])
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        metainfo=metainfo,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator


def deeplabv3(width, channels, init_cfg=None):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            size=crop_size,
            pad_val=0,
            seg_pad_val=255),
        backbone=dict(
            type='MobileNetV2',
            widen_factor=width,
            strides=(1, 2, 2, 1, 1, 1, 1),
            dilations=(1, 1, 1, 2, 2, 4, 4),
            out_indices=(1, 2, 4, 6),
            init_cfg=init_cfg),
        decode_head=dict(
            type='ASPPHead',
            in_channels=int(320 * width),
            in_index=3,
            channels=channels,
            dilations=(1, 3, 6, 9),
            dropout_ratio=0.1,
            num_classes=11,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'))


model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=deeplabv3(0.5, 32),
    teacher=deeplabv3(
        1.0, 96, dict(type='Pretrained', prefix='backbone.', checkpoint=backbone_ckpt)),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))
data_preprocessor = None

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=8, convert_to_iter_based=True),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)

train_cfg = dict(
    type='mmrazor.SearchLoop',
    trials=10,
    sampler=dict(type='MCTSSampler'),
    warm_start=['KD', 'CWD', 'FitNet'],
    layers=dict(student='decode_head.bottleneck', teacher='decode_head.bottleneck',
                student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg'),
    proxy=dict(images=96, held_out=32, epochs=2, views=1, dtype='float16'),
    final_round=dict(best=2, length=2, seeds=1),
    train_teacher=True,
    full_training=dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=4))

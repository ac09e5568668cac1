# DeepLabV3: a MobileNetV2 that begins with ImageNet's weights (mmpretrain's checkpoint), and a
# student of half its width, with a third of its head, that begins from nothing. Another file of the
# backbone:
#     --cfg-options backbone_ckpt=MOBILENETV2.pth
backbone_ckpt = ('https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/'
                 'mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth')


def deeplabv3(width, channels, init_cfg=None):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            size=(128, 128),
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


student_network = deeplabv3(0.5, 32)
teacher_network = deeplabv3(
    1.0, 96, dict(type='Pretrained', prefix='backbone.', checkpoint=backbone_ckpt))

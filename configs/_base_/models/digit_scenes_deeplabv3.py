# DeepLabV3 for scenes of 128x128: maps of 16x16, pyramid of dilations that fit into them, no
# pretrained weights.


def deeplabv3(width, channels):
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
            type='ResNetV1c',
            depth=18,
            base_channels=width,
            stem_channels=width,
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            contract_dilation=True,
            norm_cfg=dict(type='BN', requires_grad=True),
            norm_eval=False),
        decode_head=dict(
            type='ASPPHead',
            in_channels=8 * width,
            in_index=3,
            channels=channels,
            dilations=(1, 2, 4, 6),
            dropout_ratio=0.1,
            num_classes=11,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(
                type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'))


student_network = deeplabv3(width=8, channels=32)
teacher_network = deeplabv3(width=20, channels=48)

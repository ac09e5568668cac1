# DeepLabV3 with ResNet-101 teaches DeepLabV3 with ResNet-18 on Cityscapes (supplement, section 2):
# 512x512 crops, batch 8, SGD with a polynomial rate, 40k iterations, single-scale mIoU.
_base_ = 'mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py'

custom_imports = dict(imports=['autokd_mm'], allow_failed_imports=False)

# of mmseg's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3/'
                'deeplabv3_r101-d8_512x1024_80k_cityscapes/'
                'deeplabv3_r101-d8_512x1024_80k_cityscapes_20200606_113503-9e428899.pth')

crop_size = (512, 512)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=40000, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)

# The preprocessing of the base is for its own crop size.
_base_.model.data_preprocessor.size = crop_size
model = dict(
    _delete_=True,
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.model}},
    teacher=dict(cfg_path='mmseg::deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
                 pretrained=False),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))
data_preprocessor = None

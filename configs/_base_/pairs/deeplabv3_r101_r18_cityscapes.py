# DeepLabV3 with ResNet-101 teaches DeepLabV3 with ResNet-18 on Cityscapes (supplement, section 2):
# 512x512 crops, batch 8, SGD with a polynomial rate, 40k iterations, single-scale mIoU.
_base_ = [
    '../models/deeplabv3_r18.py',
    '../datasets/cityscapes_512x512.py',
    '../schedules/cityscapes_40k.py',
]

custom_imports = dict(imports=['autokd_mm'], allow_failed_imports=False)

# of mmseg's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3/'
                'deeplabv3_r101-d8_512x1024_80k_cityscapes/'
                'deeplabv3_r101-d8_512x1024_80k_cityscapes_20200606_113503-9e428899.pth')

model = dict(
    _delete_=True,
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.model}},
    teacher=dict(cfg_path='mmseg::deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
                 pretrained=False),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

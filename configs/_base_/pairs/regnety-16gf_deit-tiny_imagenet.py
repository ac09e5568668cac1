# RegNetY-16GF teaches DeiT-Tiny, both at 224 px (supplement, section 1.3). The teacher is timm's:
# pip install timm (requirements/optional.txt).
_base_ = ['../datasets/imagenet_deit.py', '../default_runtime.py',
          '../models/imagenet/regnety-16gf.py', '../models/imagenet/deit-tiny.py']

# The teacher of DeiT's authors (82.9 % top-1), read as it is.
teacher_ckpt = 'https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth'

_base_.deit_tiny.data_preprocessor = _base_.data_preprocessor
_base_.regnety_16gf.data_preprocessor = _base_.data_preprocessor

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.deit_tiny}},
    teacher={{_base_.regnety_16gf}},
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

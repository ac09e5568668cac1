# ResNet-56 at 32 px teaches DeiT-Tiny at 224 px (supplement, section 1.3).
_base_ = ['../datasets/cifar100_224.py', '../default_runtime.py',
          '../models/cifar100/resnet56.py', '../models/cifar100/deit-tiny.py']

# A published checkpoint (chenyaofo/pytorch-cifar-models) is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet56_chenyaofo.pth'

_base_.deit_tiny.data_preprocessor = _base_.data_preprocessor
_base_.resnet56.data_preprocessor = _base_.data_preprocessor

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.deit_tiny}},
    teacher={{_base_.resnet56}},
    teacher_ckpt=teacher_ckpt,
    teacher_input=dict(size=32),
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

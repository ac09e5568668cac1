# ResNet-32x4 teaches ResNet-8x4.
_base_ = ['./cifar100.py', '../models/cifar100/resnet32x4.py', '../models/cifar100/resnet8x4.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet32x4_crd.pth'

model = dict(
    architecture={{_base_.resnet8x4}},
    teacher={{_base_.resnet32x4}},
    teacher_ckpt=teacher_ckpt)

# ResNet-110 teaches ResNet-32.
_base_ = ['./cifar100.py', '../models/cifar100/resnet110.py', '../models/cifar100/resnet32.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet110_crd.pth'

model = dict(
    architecture={{_base_.resnet32}},
    teacher={{_base_.resnet110}},
    teacher_ckpt=teacher_ckpt)

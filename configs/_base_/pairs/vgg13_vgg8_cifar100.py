# VGG-13 teaches VGG-8.
_base_ = ['./cifar100.py', '../models/cifar100/vgg13.py', '../models/cifar100/vgg8.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_vgg13_crd.pth'

model = dict(
    architecture={{_base_.vgg8}},
    teacher={{_base_.vgg13}},
    teacher_ckpt=teacher_ckpt)

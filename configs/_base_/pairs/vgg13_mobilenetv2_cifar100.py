# VGG-13 teaches MobileNetV2.
_base_ = ['./cifar100.py', '../models/cifar100/vgg13.py', '../models/cifar100/mobilenetv2.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_vgg13_crd.pth'

model = dict(
    architecture={{_base_.mobilenetv2}},
    teacher={{_base_.vgg13}},
    teacher_ckpt=teacher_ckpt)

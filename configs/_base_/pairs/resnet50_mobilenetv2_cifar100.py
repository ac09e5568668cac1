# ResNet-50 teaches MobileNetV2.
_base_ = ['./cifar100.py', '../models/cifar100/resnet50.py', '../models/cifar100/mobilenetv2.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet50_crd.pth'

model = dict(
    architecture={{_base_.mobilenetv2}},
    teacher={{_base_.resnet50}},
    teacher_ckpt=teacher_ckpt)

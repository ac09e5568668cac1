# WRN-40-2 teaches WRN-40-1.
_base_ = ['./cifar100.py', '../models/cifar100/wrn-40-2.py', '../models/cifar100/wrn-40-1.py']

# CRD's ckpt_epoch_240.pth of this teacher is read as it is.
teacher_ckpt = 'checkpoints/cifar100_wrn-40-2_crd.pth'

model = dict(
    architecture={{_base_.wrn_40_1}},
    teacher={{_base_.wrn_40_2}},
    teacher_ckpt=teacher_ckpt)

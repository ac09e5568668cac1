# ResNet-56 teaches ResNet-20.
_base_ = ['./cifar100.py', '../models/cifar100/resnet56.py', '../models/cifar100/resnet20.py']

# A published checkpoint (chenyaofo/pytorch-cifar-models) is read as it is.
teacher_ckpt = 'checkpoints/cifar100_resnet56_chenyaofo.pth'

model = dict(
    architecture={{_base_.resnet20}},
    teacher={{_base_.resnet56}},
    teacher_ckpt=teacher_ckpt)

# ResNet-34 teaches ResNet-18.
_base_ = ['./imagenet.py', '../models/imagenet/resnet34.py', '../models/imagenet/resnet18.py']

# of mmpretrain's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmclassification/v0/resnet/'
                'resnet34_8xb32_in1k_20210831-f257d4e6.pth')

model = dict(
    architecture={{_base_.resnet18}},
    teacher={{_base_.resnet34}},
    teacher_ckpt=teacher_ckpt)

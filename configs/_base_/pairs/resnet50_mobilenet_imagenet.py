# ResNet-50 teaches MobileNet V1.
_base_ = ['./imagenet.py', '../models/imagenet/resnet50.py', '../models/imagenet/mobilenet.py']

# of mmpretrain's model zoo
teacher_ckpt = ('https://download.openmmlab.com/mmclassification/v0/resnet/'
                'resnet50_8xb32_in1k_20210831-ea4938fc.pth')

model = dict(
    architecture={{_base_.mobilenet}},
    teacher={{_base_.resnet50}},
    teacher_ckpt=teacher_ckpt)

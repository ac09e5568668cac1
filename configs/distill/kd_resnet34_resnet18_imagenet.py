# KD: Hinton et al. 2015, "Distilling the knowledge in a neural network".
_base_ = [
    '../_base_/pairs/resnet34_resnet18_imagenet.py',
    '../_base_/schedules/imagenet_100e.py',
    '../_base_/distillers/kd.py',
]

model = dict(distiller={{_base_.kd}})

_base_ = [
    '../_base_/pairs/resnet34_resnet18_imagenet.py',
    '../_base_/schedules/imagenet_search.py',
]

train_cfg = dict(layers=dict(student='backbone.layer4', teacher='backbone.layer4'))

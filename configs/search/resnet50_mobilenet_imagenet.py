_base_ = [
    '../_base_/pairs/resnet50_mobilenet_imagenet.py',
    '../_base_/schedules/imagenet_search.py',
]

train_cfg = dict(layers=dict(student='backbone.layer5', teacher='backbone.layer4'))

# RetinaNet with ResNet-50: 2x schedule, horizontal flip, backbone from ImageNet (Auto-KD's
# supplement, section 1.4). mmdet's own config as it is.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'

# RetinaNet with ResNet-101: 2x schedule, horizontal flip, backbone from ImageNet (Auto-KD's
# supplement, section 1.4). mmdet's own config as it is.
_base_ = 'mmdet::retinanet/retinanet_r101_fpn_2x_coco.py'

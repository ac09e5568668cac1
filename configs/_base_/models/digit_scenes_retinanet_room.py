# The teacher of digit_scenes_retinanet.py, and a student with half of that student's backbone and
# with FPN and head as wide as the teacher's, so that its head can be copied.
_base_ = './digit_scenes_retinanet.py'

student_network = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64))

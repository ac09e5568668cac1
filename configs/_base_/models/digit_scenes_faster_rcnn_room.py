# The teacher of digit_scenes_faster_rcnn.py, and a student with half of that student's backbone.
_base_ = './digit_scenes_faster_rcnn.py'

student_network = dict(
    backbone=dict(base_channels=4), neck=dict(in_channels=[4, 8, 16, 32]))

# The teacher of digit_scenes_deeplabv3.py, and a student with half of that student's backbone and a
# head of the teacher's width.
_base_ = './digit_scenes_deeplabv3.py'

student_network = dict(
    backbone=dict(base_channels=4, stem_channels=4),
    decode_head=dict(in_channels=32, channels=48))

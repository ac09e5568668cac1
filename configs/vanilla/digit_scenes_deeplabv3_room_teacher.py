_base_ = [
    '../_base_/models/digit_scenes_deeplabv3_room.py',
    '../_base_/datasets/digit_scenes_cityscapes.py',
    '../_base_/schedules/digit_scenes_60e.py', '../_base_/digit_scenes_segmentation_runtime.py'
]

model = {{_base_.teacher_network}}

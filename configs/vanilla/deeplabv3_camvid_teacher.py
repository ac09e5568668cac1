_base_ = [
    '../_base_/models/deeplabv3_camvid.py', '../_base_/datasets/camvid.py',
    '../_base_/schedules/photos_40e.py', '../_base_/digit_scenes_segmentation_runtime.py'
]

model = {{_base_.teacher_network}}

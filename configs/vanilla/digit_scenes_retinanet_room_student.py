_base_ = [
    '../_base_/models/digit_scenes_retinanet_room.py', '../_base_/datasets/digit_scenes_coco.py',
    '../_base_/schedules/digit_scenes_20e.py', '../_base_/digit_scenes_detection_runtime.py'
]

model = {{_base_.student_network}}

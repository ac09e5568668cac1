_base_ = [
    '../_base_/models/retinanet_coco_mini.py', '../_base_/datasets/coco_mini.py',
    '../_base_/schedules/photos_40e.py', '../_base_/digit_scenes_detection_runtime.py'
]

model = {{_base_.teacher_network}}

# RetinaNet with a wide FPN and head teaches one with thin ones on a few hundred photos of COCO.
_base_ = [
    '../models/retinanet_coco_mini.py', '../datasets/coco_mini.py', '../schedules/photos_24e.py',
    '../digit_scenes_detection_runtime.py'
]

# None: a search trains the teacher first and keeps it as teacher.pth in its work dir.
teacher_ckpt = None

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture={{_base_.student_network}},
    teacher={{_base_.teacher_network}},
    teacher_ckpt=teacher_ckpt,
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

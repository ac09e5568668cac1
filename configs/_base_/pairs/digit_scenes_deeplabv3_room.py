# DeepLabV3 with a ResNet-18 of width 20, which learns twice as long, teaches one of width 4 on
# digit scenes. Their heads are equally wide.
_base_ = [
    '../models/digit_scenes_deeplabv3_room.py', '../datasets/digit_scenes_cityscapes.py',
    '../schedules/digit_scenes_30e.py', '../digit_scenes_segmentation_runtime.py'
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

# What the pairs on ImageNet share (Auto-KD's supplement, section 1.2): all but the networks and the
# schedule.
_base_ = ['../datasets/imagenet.py', '../default_runtime.py']

model = dict(
    type='mmrazor.FrozenTeacherDistill',
    architecture=dict(data_preprocessor={{_base_.data_preprocessor}}),
    teacher=dict(data_preprocessor={{_base_.data_preprocessor}}),
    distiller=dict(type='mmrazor.ConfigurableDistiller'))

# Each network has its own; MMEngine would give this one to the algorithm.
data_preprocessor = None

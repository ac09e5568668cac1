# One distiller for three pairs of layers, whose factors come from how alike the teacher and the
# untrained student are there.
_base_ = './resnet56_resnet8_cifar10.py'

_stages = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
train_cfg = dict(layers=dict(student=_stages, teacher=_stages, factors='cka'))

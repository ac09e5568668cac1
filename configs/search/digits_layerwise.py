# Three pairs of layers of the digits' networks, each with a way to be compared of its own; any of
# them may be left out.
_base_ = './digits.py'

_stages = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
train_cfg = dict(layers=dict(student=_stages, teacher=_stages, shared=False))

# KD on the distillation token (supplement, section 1.3; soft distillation of Touvron et al., ICML
# 2021). The teacher runs online, because the images are mixed.
_base_ = [
    '../_base_/pairs/regnety-16gf_deit-tiny_imagenet.py',
    '../_base_/schedules/deit_300e.py',
    '../_base_/distillers/kd.py',
]

_base_.kd.student_recorders.logits.source = 'head.layers.head_dist'
_base_.kd.teacher_recorders.logits.source = 'model.head.fc'
model = dict(distiller={{_base_.kd}})

# The features are maps of 192 x 14 x 14 and 64 x 8 x 8; the distillation token learns the logits.
# The bank keeps the pixels too: 2 x 5,000 images of 224 px are 1.5 GB.
_base_ = [
    '../_base_/pairs/resnet56_deit-tiny_cifar100.py',
    '../_base_/schedules/deit_300e.py',
]

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['KD', 'DIST'],
    layers=dict(student='backbone.layers.11', teacher='backbone.layer3',
                student_logits='head.layers.head_dist', teacher_logits='head.fc',
                scores='head.scores'),
    proxy=dict(images=4000, held_out=1000, epochs=4, views=2),
    full_training={{_base_.train_cfg}})

_base_ = ['../_base_/pairs/resnet8-w32_deit-tiny_digits.py',
          '../_base_/schedules/deit_digits_30e.py']

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=40,
    # What other tasks say of the options; `without`: so that this one shows what that is worth.
    sampler=dict(type='MCTSSampler', experience=dict(without=['digits'])),
    warm_start=['KD', 'DIST'],
    layers=dict(student='backbone.layers.1', teacher='backbone.layer3',
                student_logits='head.layers.head_dist', teacher_logits='head.fc',
                scores='head.scores'),
    proxy=dict(images=640, held_out=360, epochs=8, views=2, threads=1),
    train_teacher=True,
    full_training={{_base_.train_cfg}})

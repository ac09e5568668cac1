# Every level of the feature pyramid counts: they are one branch of the distiller.
_base_ = '../_base_/pairs/digit_scenes_retinanet_room.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=24,
    sampler=dict(type='MCTSSampler'),
    warm_start=['PKD', 'FKD', 'MGD', 'FGD-focal', 'BCKD', 'FitNet',
                dict(method='FGD-focal', start='neck_head'),
                dict(transform='logits_only', start='neck_head')],  # no loss
    layers=dict(student='neck', teacher='neck', student_predictions='bbox_head',
                teacher_predictions='bbox_head'),
    proxy=dict(images=256, held_out=128, epochs=6, views=2, threads=1),
    final_round=dict(best=2, length=3, seeds=2, budget=40, reward=dict(metric=1)),
    train_teacher=True,
    teacher_epochs=40,
    full_training={{_base_.train_cfg}})

# Every level of the feature pyramid counts: they are one branch of the distiller. The logits are
# those of the RoI heads on the teacher's 32 best proposals.
_base_ = '../_base_/pairs/digit_scenes_faster_rcnn.py'

model = dict(shared_boxes=32)

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=24,
    sampler=dict(type='MCTSSampler'),
    warm_start=['PKD', 'FKD', 'MGD', 'FGD-focal', 'FitNet', 'KD'],
    layers=dict(
        student='neck',
        teacher='neck',
        student_logits='roi_head.shared_logits',
        teacher_logits='roi_head.shared_logits'),
    proxy=dict(images=256, held_out=128, epochs=8, views=2, threads=1),
    final_round=dict(best=2, length=2, seeds=2, budget=30, reward=dict(metric=1)),
    train_teacher=True,
    full_training={{_base_.train_cfg}})

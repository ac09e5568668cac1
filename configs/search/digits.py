_base_ = '../_base_/pairs/resnet8-w32_resnet8-w4_digits.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    # What other tasks say of the options; `without`: so that this one shows what that is worth.
    sampler=dict(type='MCTSSampler', experience=dict(without=['digits'])),
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD'],
    layers=dict(student='backbone.layer3', teacher='backbone.layer3',
                student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=640, held_out=360, epochs=8, views=2, threads=1),
    final_round=dict(best=3, budget=48),  # every hand-crafted method has its chance
    train_teacher=True,
    full_training={{_base_.train_cfg}})

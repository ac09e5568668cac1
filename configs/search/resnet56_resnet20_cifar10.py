_base_ = '../_base_/pairs/resnet56_resnet20_cifar10.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    # What other tasks say of the options; `without`: so that this one shows what that is worth.
    sampler=dict(type='MCTSSampler', experience=dict(without=['cifar10'])),
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD'],
    layers=dict(student='backbone.layer3', teacher='backbone.layer3',
                student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=2000, held_out=1000, epochs=4, views=2),
    # A start with the teacher's classifier wins the proxy and loses the training; features that
    # fade lose nothing and save what would (docs/results/cifar.md).
    space=dict(start=['own'], feature_schedule=['cosine']),
    # Twelve times the proxy: places still change up to there. Every hand-crafted method has its
    # chance; proxy and final round together are a tenth of the training.
    final_round=dict(best=5, length=12, seeds=1, budget=110),
    full_training={{_base_.train_cfg}})

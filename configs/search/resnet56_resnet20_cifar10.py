_base_ = '../_base_/pairs/resnet56_resnet20_cifar10.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    # What other tasks say of the options; `without`: so that this one shows what that is worth.
    sampler=dict(type='MCTSSampler', experience=dict(without=['cifar10'])),
    # Weights that pay in long trainings look worse than none on the proxy, see
    # docs/benchmarks/lengths.md; in the final round, which is longer, they have their chance.
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD', 'CWD',
                dict(method='PKD', feature_weight=25), dict(method='CWD', feature_weight=25),
                dict(method='FitNet', feature_weight=25)],
    layers=dict(student='backbone.layer3', teacher='backbone.layer3',
                student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=2000, held_out=1000, epochs=4, views=2),
    # Thirteen begin at 4 times the proxy, two are left at 8 times, 64,000 samples.
    final_round=dict(best=3, budget=104, length=8),
    full_training={{_base_.train_cfg}})

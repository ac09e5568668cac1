# Search a distiller for a pair, then train with it as cifar_240e.py says. The config that uses
# this names the layers of its networks.
_base_ = './cifar_240e.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    # Weights that pay in long trainings look worse than none on the proxy, see
    # docs/benchmarks/lengths.md; in the final round, which is longer, they have their chance.
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD', 'CWD',
                dict(method='PKD', feature_weight=25), dict(method='CWD', feature_weight=25),
                dict(method='FitNet', feature_weight=25)],
    layers=dict(student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=4000, held_out=1000, epochs=4, views=2),
    # Thirteen begin at twice the proxy, two are left at 4 times, 64,000 samples.
    final_round=dict(best=3, budget=52),
    full_training={{_base_.train_cfg}})

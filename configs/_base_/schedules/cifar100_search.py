# Search a distiller for a pair, then train with it as cifar_240e.py says. The config that uses
# this names the layers of its networks.
_base_ = './cifar_240e.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD'],
    layers=dict(student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=4000, held_out=1000, epochs=4, views=2),
    final_round=dict(best=3, budget=48),  # every hand-crafted method has its chance
    full_training={{_base_.train_cfg}})

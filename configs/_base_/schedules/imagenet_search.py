# Search a distiller for a pair, then train with it as imagenet_100e.py says. The config that uses
# this names the layers of its networks.
_base_ = './imagenet_100e.py'

# A candidate sees 4 x 25,623 images, 0.08 % of a full training. The bank holds 150 kB of pixels and
# 50 kB (ResNet-34) or 200 kB (ResNet-50) of features for each of 56,247 images: 11 or 20 GB.
train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD'],
    layers=dict(student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=0.02, held_out=5000, epochs=4, views=2, dtype='float16'),
    final_round=dict(best=3, budget=48),  # every hand-crafted method has its chance
    full_training={{_base_.train_cfg}})

# The map that the classes are read from, and their scores. The proxy is long because students of a
# shorter one say background everywhere, whatever they are taught.
_base_ = '../_base_/pairs/digit_scenes_deeplabv3_room.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=24,
    sampler=dict(type='MCTSSampler'),
    warm_start=['CWD', 'KD', 'AT', 'PKD', 'FitNet'],
    layers=dict(student='decode_head.bottleneck', teacher='decode_head.bottleneck',
                student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg'),
    proxy=dict(images=256, held_out=128, epochs=14, views=2, threads=1),
    final_round=dict(best=2, length=2, seeds=1, budget=16, reward=dict(metric=1)),
    train_teacher=True,
    teacher_epochs=60,
    full_training={{_base_.train_cfg}})

# A search on CamVid's 367 street scenes, with small crops, for a CPU or a GPU:
#     --cfg-options data_root=DIR backbone_ckpt=MOBILENETV2.pth
# The teacher has an ImageNet MobileNetV2, the student one of half the width that begins from
# nothing.
_base_ = '../_base_/pairs/deeplabv3_camvid.py'

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=12,
    sampler=dict(type='MCTSSampler'),
    warm_start=['CWD', 'PKD', 'FitNet', 'MGD'],
    layers=dict(student='decode_head.bottleneck', teacher='decode_head.bottleneck',
                student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg'),
    proxy=dict(images=160, held_out=80, epochs=8, views=1, batch_size=8, dtype='float16',
               threads=1),
    final_round=dict(best=2, length=2, seeds=1, budget=16, reward=dict(metric=1)),
    train_teacher=True,
    teacher_epochs=40,
    full_training={{_base_.train_cfg}})

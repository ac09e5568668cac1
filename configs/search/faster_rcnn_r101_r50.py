# The levels P2 to P5 of the FPN share one distiller. The logits are those of the RoI heads on the
# teacher's 64 best proposals.
_base_ = '../_base_/pairs/faster_rcnn_r101_r50_coco.py'

levels = [f'neck[{level}]' for level in range(4)]

model = dict(
    shared_boxes=64, distiller=dict(_delete_=True, type='mmrazor.ConfigurableDistiller'))

# A candidate sees 8 x 1,173 images with a quarter of the pixels of the full training: 0.08 % of it.
# The bank holds 0.8 MB of pixels and 11.4 MB of features (22,223 cells of 256 channels at
# 667 x 400) for each of 1,373 images: 17 GB. The batch is that of the learning rate.
train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['PKD', 'FGD-focal', 'FKD', 'MGD', 'CWD', 'ICKD', 'KD'],
    layers=dict(
        student=levels,
        teacher=levels,
        student_logits='roi_head.shared_logits',
        teacher_logits='roi_head.shared_logits'),
    proxy=dict(images=0.01, held_out=200, epochs=8, batch_size=16, input_size=400,
               dtype='float16'),
    reward='auto',
    final_round=dict(best=2, budget=48),
    full_training={{_base_.train_cfg}})

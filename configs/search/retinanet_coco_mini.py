# A search on a few hundred photos in COCO's layout, by their ten most frequent classes:
#     --cfg-options data_root=DIR backbone_ckpt=MOBILENETV2.pth
# Both networks have the same backbone, from ImageNet; the student has a thin FPN and head.
_base_ = '../_base_/pairs/retinanet_coco_mini.py'

levels = [f'neck[{level}]' for level in range(3)]  # the fourth is every second cell of the third

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=12,
    sampler=dict(type='MCTSSampler'),
    warm_start=['FitNet', 'PKD', 'FGD-focal', 'MGD'],
    layers=dict(student=levels, teacher=levels, student_predictions='bbox_head',
                teacher_predictions='bbox_head'),
    proxy=dict(images=160, held_out=64, epochs=8, views=1, batch_size=8, input_size=224,
               dtype='float16', threads=1),
    final_round=dict(best=2, length=2, seeds=1, budget=16),
    train_teacher=True,
    teacher_epochs=40,
    full_training={{_base_.train_cfg}})

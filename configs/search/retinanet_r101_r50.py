# All levels of the FPN share one distiller.
_base_ = '../_base_/pairs/retinanet_r101_r50_coco.py'

model = dict(distiller=dict(_delete_=True, type='mmrazor.ConfigurableDistiller'))

# A candidate sees 8 x 1,173 images with a quarter of the pixels of the full training: 0.08 % of it.
# The bank holds 0.8 MB of pixels, 2.9 MB of features (5,624 cells of 256 channels at 667 x 400) and
# 8.5 MB of predictions (9 anchors of 80 classes and a box) for each of 1,373 images: 17 GB. Without
# the predictions it is 5. The batch is that of the learning rate.
train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['PKD', 'FGD-focal', 'BCKD', 'FKD', 'MGD', 'CWD', 'ICKD'],
    layers=dict(student='neck', teacher='neck', student_predictions='bbox_head',
                teacher_predictions='bbox_head'),
    proxy=dict(images=0.01, held_out=200, epochs=8, batch_size=16, input_size=400,
               dtype='float16'),
    reward='auto',
    final_round=dict(best=2, budget=48),
    full_training={{_base_.train_cfg}})

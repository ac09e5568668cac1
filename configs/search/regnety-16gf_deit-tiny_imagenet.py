# The features are maps of 3024 x 7 x 7 and 192 x 14 x 14; the distillation token learns the logits.
# The bank holds 150 kB of pixels and 300 kB of features for each of 56,247 images: 25 GB.
_base_ = [
    '../_base_/pairs/regnety-16gf_deit-tiny_imagenet.py',
    '../_base_/schedules/deit_300e.py',
]

train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['KD', 'DIST'],
    layers=dict(student='backbone.layers.11', teacher='model.s4',
                student_logits='head.layers.head_dist', teacher_logits='model.head.fc',
                scores='head.scores'),
    proxy=dict(images=0.02, held_out=5000, epochs=4, views=2, dtype='float16'),
    full_training={{_base_.train_cfg}})

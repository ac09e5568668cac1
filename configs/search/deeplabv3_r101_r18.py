# The feature is what the head's last convolution scores: it comes behind the dilated convolutions
# and has a quarter of the channels of the backbone's last stage.
_base_ = '../_base_/pairs/deeplabv3_r101_r18_cityscapes.py'

# A candidate sees 4 x 298 crops, 0.4 % of a full training. The bank holds 0.8 MB of pixels and
# 4.4 MB of features and scores (531 channels at 64 x 64) for each of 596 crops, twice that for each
# of 200 images that are held out (1024 x 512): 5 GB.
train_cfg = dict(
    _delete_=True,
    type='mmrazor.SearchLoop',
    trials=60,
    sampler=dict(type='MCTSSampler'),
    warm_start=['CWD', 'KD', 'DIST', 'AT', 'ICKD', 'PKD', 'MGD'],
    layers=dict(student='decode_head.bottleneck', teacher='decode_head.bottleneck',
                student_logits='decode_head.conv_seg', teacher_logits='decode_head.conv_seg'),
    proxy=dict(images=0.1, held_out=200, epochs=4, views=2, input_size=512, dtype='float16'),
    final_round=dict(best=2, budget=48),
    full_training={{_base_.train_cfg}})

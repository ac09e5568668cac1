# The sub-space of the table of CIFAR-10, ResNet-56 -> ResNet-8: features of one shape, so that no
# connector is needed.
_base_ = '../../../configs/search/resnet56_resnet8_cifar10.py'

train_cfg = dict(
    warm_start=[],
    proxy=dict(images=2000, held_out=1000, epochs=4, views=2, precision='bfloat16',
               channels_last=True, threads=1),
    space=dict(mask_ratio=[0.5],
               connector=['identity'],
               patch_grid=[2],
               distance=['l2', 'cosine', 'kl', 'gram_l2'],
               temperature=[4],
               feature_weight=[1, 25],
               logits=['none', 'kl', 'pearson_both'],
               logits_temperature=[4],
               logits_weight=[1],
               start=['own']))  # as when the table was made

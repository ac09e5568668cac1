# CIFAR-100. Whatever training batches lie in data_root are used; an empty one is downloaded into.
data_root = 'data/cifar100'

data_preprocessor = dict(
    num_classes=100,
    # as the published networks of chenyaofo/pytorch-cifar-models were trained with
    mean=[129.285, 124.0575, 112.4295],
    std=[68.1615, 65.382, 70.4055],
    to_rgb=False)  # the files are RGB already

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmrazor.LocalCIFAR100', data_root=data_root, split='train', pipeline=train_pipeline))

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmrazor.LocalCIFAR100', data_root=data_root, split='test', pipeline=test_pipeline))
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator

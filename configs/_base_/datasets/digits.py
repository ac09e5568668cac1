# scikit-learn's scanned digits, 8x8, one channel: nothing to download.
data_preprocessor = dict(
    num_classes=10,
    # of the 1,000 training images
    mean=[78.35],
    std=[95.95],
    to_rgb=False)

train_pipeline = [
    dict(type='RandomCrop', crop_size=8, padding=1),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mmrazor.Digits', split='train', pipeline=train_pipeline))

val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmrazor.Digits', split='val', pipeline=test_pipeline))
val_evaluator = dict(type='Accuracy', topk=(1, ))

test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmrazor.Digits', split='test', pipeline=test_pipeline))
test_evaluator = val_evaluator

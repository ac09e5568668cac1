# A few hundred photos in COCO's layout, of ten classes, for a CPU or a minute of a GPU:
#     --cfg-options data_root=DIR
# DIR has annotations/instances_{train,val}2017.json, train2017/ and val2017/.
data_root = 'data/coco_mini/'

# The ten with the most boxes in the training annotations of our 382 photos, 275 of which have one;
# in COCO's order, as CocoDataset numbers them.
metainfo = dict(
    classes=('person', 'car', 'bottle', 'wine glass', 'cup', 'spoon', 'bowl', 'chair',
             'dining table', 'book'))

scale = (384, 384)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    # Photos are few: each is seen at another size and cut each time.
    dict(type='RandomResize', scale=scale, ratio_range=(0.6, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(320, 320), allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))

# Looked at once, by the weights of the last epoch: a search chooses by training images that it
# holds back.
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(
    type='CocoMetric', ann_file=data_root + 'annotations/instances_val2017.json', metric='bbox')

test_dataloader = val_dataloader
test_evaluator = val_evaluator

"""Tiny detection and segmentation tasks: images of several sizes, small networks."""
import copy
import json
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.registry import DATASETS, DefaultScope

from autokd_mm.layers.find import find_layers
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import held_out_dataset_config
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.teacher.proxy_banks import open_banks

# (height, width) of the images, in turn.
SIZES = ((40, 56), (64, 48), (33, 70), (50, 50))
CLASSES = ('square', 'disc', 'stripe')
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 55.0, 50.0]


def write_images(folder, count, seed=0):
    """``count`` PNG files of noise on gradients; returns their pixels."""
    import cv2
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * [1, 2, 3] % 200
        images.append((ramp + rng.integers(0, 56, (height, width, 3))).astype(np.uint8))
        cv2.imwrite(str(folder / f'{number:03d}.png'), images[-1])
    return images


def write_coco(root, count=12, empty=(3, ), outside=(2, ), crowd=(5, )):
    """A COCO data set of two boxes in each image but those of ``empty``; in ``outside`` one box
    reaches over the border, in ``crowd`` one is a crowd. The json alone where ``count`` images are
    there already."""
    write_images(root / 'images', count)
    write_coco_json(root, count, empty, outside, crowd)


def write_coco_json(root, count, empty=(), outside=(), crowd=()):
    images, annotations = [], []
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        images.append(dict(id=number + 1, file_name=f'{number:03d}.png', height=height,
                           width=width))
        boxes = [[4 + number % 7, 5, 16, 20], [20, 10 + number % 5, 12, 14]]
        if number in outside:
            boxes[1] = [width - 10, height - 8, 30, 40]
        for at, box in enumerate([] if number in empty else boxes):
            annotations.append(dict(
                id=len(annotations) + 1, image_id=number + 1, bbox=box, area=box[2] * box[3],
                category_id=1 + (number + at) % 3, iscrowd=int(number in crowd and at == 1)))
    (root / 'train.json').write_text(json.dumps(dict(
        images=images, annotations=annotations,
        categories=[dict(id=1 + at, name=name) for at, name in enumerate(CLASSES)])))


def write_maps(root, count=12):
    """Images and their segmentation maps: three classes in stripes, a border of 255."""
    import cv2
    (root / 'maps').mkdir(parents=True)
    for number, image in enumerate(write_images(root / 'images', count)):
        found = np.add.outer(np.arange(len(image)), np.arange(image.shape[1])) // 16 % 3
        found[:2], found[:, -3:] = 255, 255
        cv2.imwrite(str(root / 'maps' / f'{number:03d}.png'), found.astype(np.uint8))


def detection_datasets(root, scale=(64, 48), train_steps=(), filter_empty=False):
    """Configs of the ``train`` and the ``val`` data set."""
    resize = dict(type='mmdet.Resize', scale=scale, keep_ratio=True)
    load = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    config = dict(type='mmdet.CocoDataset', data_root=str(root), ann_file='train.json',
                  data_prefix=dict(img='images/'), metainfo=dict(classes=CLASSES),
                  filter_cfg=dict(filter_empty_gt=filter_empty), serialize_data=False)
    return (dict(config, pipeline=[dict(type='mmdet.LoadImageFromFile'), load, resize,
                                   dict(type='mmdet.RandomFlip', prob=0.5), *train_steps,
                                   dict(type='mmdet.PackDetInputs')]),
            dict(config, test_mode=True,
                 pipeline=[dict(type='mmdet.LoadImageFromFile'), resize, load,
                           dict(type='mmdet.PackDetInputs')]))


def segmentation_datasets(root, scale=(64, 48)):
    resize = dict(type='mmseg.Resize', scale=scale, keep_ratio=True)
    load = dict(type='mmseg.LoadAnnotations')
    config = dict(type='mmseg.BaseSegDataset', data_root=str(root), img_suffix='.png',
                  data_prefix=dict(img_path='images', seg_map_path='maps'),
                  metainfo=dict(classes=CLASSES), serialize_data=False)
    return (dict(config, pipeline=[dict(type='mmseg.LoadImageFromFile'), load, resize,
                                   dict(type='mmseg.RandomFlip', prob=0.5),
                                   dict(type='mmseg.PackSegInputs')]),
            dict(config, test_mode=True,
                 pipeline=[dict(type='mmseg.LoadImageFromFile'), resize, load,
                           dict(type='mmseg.PackSegInputs')]))


def built(configs):
    """``train`` and ``held_out``, as a search builds them."""
    train, val = copy.deepcopy(configs)
    return dict(train=DATASETS.build(train),
                held_out=DATASETS.build(held_out_dataset_config(train, val)))


def _backbone(scope, channels):
    return dict(type=f'{scope}.ResNet', depth=18, base_channels=channels, norm_eval=True)


def retinanet(channels=4, mean=MEAN, divisor=32):
    return dict(
        type='mmdet.RetinaNet',
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', mean=mean, std=STD,
                               bgr_to_rgb=True, pad_size_divisor=divisor),
        backbone=_backbone('mmdet', channels),
        neck=dict(type='mmdet.FPN', in_channels=[channels * 2**level for level in range(4)],
                  out_channels=8, start_level=1, add_extra_convs='on_input', num_outs=5),
        bbox_head=dict(
            type='mmdet.RetinaHead', num_classes=3, in_channels=8, stacked_convs=1,
            feat_channels=8,
            anchor_generator=dict(type='mmdet.AnchorGenerator', octave_base_scale=4,
                                  scales_per_octave=1, ratios=[1.0],
                                  strides=[8, 16, 32, 64, 128]),
            bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.L1Loss')),
        train_cfg=dict(
            assigner=dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4,
                          min_pos_iou=0, ignore_iof_thr=-1),
            sampler=dict(type='mmdet.PseudoSampler'), allowed_border=-1, pos_weight=-1),
        test_cfg=dict(nms_pre=10, min_bbox_size=0, score_thr=0.05, max_per_img=10,
                      nms=dict(type='nms', iou_threshold=0.5)))


def faster_rcnn(channels=4):
    """The same backbone and neck behind two stages, whose losses draw boxes."""
    config = retinanet(channels)
    sampler = dict(type='mmdet.RandomSampler', num=8, pos_fraction=0.5, neg_pos_ub=-1,
                   add_gt_as_proposals=True)
    assigner = dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5,
                    min_pos_iou=0, ignore_iof_thr=-1)
    proposals = dict(nms_pre=20, max_per_img=10, nms=dict(type='nms', iou_threshold=0.7),
                     min_bbox_size=0)
    coder = dict(type='mmdet.DeltaXYWHBBoxCoder')
    del config['bbox_head']
    config.update(
        type='mmdet.FasterRCNN',
        rpn_head=dict(
            type='mmdet.RPNHead', in_channels=8, feat_channels=8, bbox_coder=coder,
            anchor_generator=dict(type='mmdet.AnchorGenerator', scales=[4], ratios=[1.0, 2.0],
                                  strides=[8, 16, 32, 64, 128]),
            loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.L1Loss')),
        roi_head=dict(
            type='mmdet.StandardRoIHead',
            bbox_roi_extractor=dict(
                type='mmdet.SingleRoIExtractor', out_channels=8, featmap_strides=[8, 16],
                roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=0)),
            bbox_head=dict(type='mmdet.Shared2FCBBoxHead', in_channels=8, fc_out_channels=8,
                           roi_feat_size=3, num_classes=3, bbox_coder=coder,
                           loss_cls=dict(type='mmdet.CrossEntropyLoss'),
                           loss_bbox=dict(type='mmdet.L1Loss'))),
        train_cfg=dict(rpn=dict(assigner=assigner, allowed_border=-1,
                                sampler=dict(sampler, add_gt_as_proposals=False),
                                pos_weight=-1),
                       rpn_proposal=proposals,
                       rcnn=dict(assigner=assigner, sampler=sampler, pos_weight=-1)),
        test_cfg=dict(rpn=proposals, rcnn=dict(score_thr=0.05, max_per_img=10,
                                               nms=dict(type='nms', iou_threshold=0.5))))
    return config


def fcn(channels=4, mean=MEAN, size=(64, 80), stride=1):
    """Maps of stride 8 times ``stride``."""
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=mean, std=STD,
                               bgr_to_rgb=True, size=size, seg_pad_val=255),
        backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=channels, stem_channels=4,
                      strides=(1, 2, stride, 1), dilations=(1, 1, 2, 4), norm_eval=True,
                      norm_cfg=dict(type='BN')),
        decode_head=dict(type='mmseg.FCNHead', in_channels=channels * 8, in_index=3, channels=8,
                         num_convs=1, concat_input=False, dropout_ratio=0, num_classes=3,
                         norm_cfg=dict(type='BN')),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


def task(datasets, student, teacher, layers, scope, **arguments):
    """``model``, ``datasets``, ``settings``; ``banks(folder, **settings)`` opens them.

    Args:
        arguments: further ones of the model.
    """
    with DefaultScope.overwrite_default_scope(scope):
        torch.manual_seed(1)
        model = MODELS.build(dict(
            type='mmrazor.FrozenTeacherDistill', architecture=student, teacher=teacher,
            distiller=dict(type='mmrazor.ConfigurableDistiller'), **arguments))
        model.init_weights()
        for module in model.teacher.modules():  # statistics that are not those of nothing
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        model.eval()
        settings = ProxySettings(images=6, held_out=3, batch_size=2, views=2)
        pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
        samples = None
        if scope == 'mmdet':
            from mmdet.structures import DetDataSample
            samples = [DetDataSample(metainfo=dict(img_shape=(64, 64)))]
        found = find_layers(model, model.architecture, layers, pixels, samples, dense=True)
    default = datasets

    def banks(folder, warn=None, progress=lambda *args: None, datasets=None, layers=found,
              **values):
        chosen = ProxySettings(**{**settings.to_dict(), **values})
        used = datasets or default
        with DefaultScope.overwrite_default_scope(scope):
            return open_banks(str(folder), chosen, used, choose_images(chosen, used['train']),
                              model, dict(teacher='tiny'), layers, warn or _fail, progress)

    return SimpleNamespace(model=model, teacher=model.teacher, student=model.architecture,
                           datasets=datasets, layers=found, settings=settings,
                           banks=banks, scope=scope)


def trainer(task, banks, device='cpu'):
    """A proxy trainer whose candidates are copies of the task's student."""
    optim = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    return ProxyTrainer(lambda seed: copy.deepcopy(task.student), task.layers, banks['train'],
                        banks['held_out'], task.settings, optim, [1.0], torch.device(device),
                        teacher=task.teacher)


def _fail(text):
    raise AssertionError(text)

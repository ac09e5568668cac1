"""Random images with annotations, behind the training pipeline of a config."""
import copy

import numpy as np
import torch

# Height, width and channels of a raw image, by a part of the dataset's type or by the scope.
SIZES = dict(Digits=(8, 8, 1), CIFAR=(32, 32, 3), DigitScenes=(112, 112, 3),
             mmpretrain=(375, 500, 3), mmdet=(384, 640, 3), mmseg=(1024, 2048, 3))


def shrunk(size, factor):
    if isinstance(size, (list, tuple)):
        return tuple(shrunk(side, factor) for side in size)
    return max(1, size // factor)


def batch(config, shrink=1, images=2):
    """Random images behind the training pipeline of ``config``, as a dataloader gives them. Those
    of detection differ in size."""
    from mmengine.dataset import Compose

    from autokd_mm.datasets.pipelines import pipeline_of
    dataset = config.train_dataloader.dataset
    shrink = 1 if small_images(dataset) else shrink
    height, width, channels = small_images(dataset) or SIZES[config.default_scope]
    height, width = shrunk((height, width), shrink)
    pipeline = []
    for item in copy.deepcopy(pipeline_of(dataset)):
        if 'Load' not in item['type']:
            for key in ('scale', 'crop_size'):
                if key in item:
                    item[key] = shrunk(item[key], shrink)
            pipeline.append(item)
    classes, samples = number_of_classes(config.model.get('architecture', config.model)), []
    transform = Compose(pipeline)
    for index in range(images):
        if config.default_scope == 'mmdet' and index and not small_images(dataset):
            width = width * 3 // 4
        samples.append(transform(record(config.default_scope, height, width, channels, classes)))
    return dict(inputs=[sample['inputs'] for sample in samples],
                data_samples=[sample['data_samples'] for sample in samples])


def small_images(dataset):
    """Height, width and channels where the raw images are too small to be shrunk, else None."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return next((SIZES[part] for part in ('DigitScenes', 'Digits', 'CIFAR')
                 if part in dataset['type']), None)


def number_of_classes(node):
    """The smallest ``num_classes`` in a network's config."""
    if not isinstance(node, (dict, list, tuple)):
        return 1 << 30
    own = [node['num_classes']] if isinstance(node, dict) and 'num_classes' in node else []
    below = node.values() if isinstance(node, dict) else node
    return min(own + [number_of_classes(item) for item in below], default=1 << 30)


def record(scope, height, width, channels, classes):
    """What an image with its annotations is behind the loading transforms."""
    img = np.random.randint(0, 256, (height, width, channels), dtype=np.uint8)
    result = dict(img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2], img_path='',
                  sample_idx=0)
    if scope == 'mmpretrain':
        result['gt_label'] = np.array(np.random.randint(classes), dtype=np.int64)
    elif scope == 'mmdet':
        from mmdet.structures.bbox import HorizontalBoxes
        start = np.random.uniform(0, 0.5, (3, 2))
        boxes = np.hstack([start, start + np.random.uniform(0.1, 0.5, (3, 2))])
        result.update(
            img_id=0, gt_ignore_flags=np.zeros(3, dtype=bool),
            gt_bboxes=HorizontalBoxes(
                torch.from_numpy(boxes * [width, height, width, height]).float()),
            gt_bboxes_labels=np.random.randint(0, classes, 3).astype(np.int64))
    else:
        regions = np.random.randint(0, classes, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
        regions[0, 0] = 255
        result.update(gt_seg_map=np.kron(regions, np.ones((8, 8), np.uint8))[:height, :width],
                      seg_fields=['gt_seg_map'], seg_map_path='', reduce_zero_label=False)
    return result

"""Data of every task in one folder, and configs that read it: digit scenes and scanned digits."""
import json
import os
import pickle

import numpy as np

SIZE, TRAIN, VAL = 64, 8, 4
_SETS = ('train', 'val')


def write(root):
    """Write everything to ``root``; the same each time."""
    import cv2

    from autokd_mm.datasets.digit_scenes import ensure_scenes
    ensure_scenes(root, train=TRAIN, val=VAL, size=SIZE, masks=True)
    for part, count in zip(_SETS, (TRAIN, VAL)):
        _write_digits(root, part, 2 * count)
        path = os.path.join(root, 'annotations', f'instances_{part}.json')
        with open(path) as file:
            scenes = json.load(file)
        _write_proposals(os.path.join(root, 'annotations', f'proposals_{part}.pkl'), part, scenes)
        for classes in range(1, 11):
            _write_json(_boxes_file(root, part, classes), _with_classes(scenes, classes))
        for classes in range(2, 12):
            for number in range(count):
                name = f'digits_{number:06d}_gtFine_labelTrainIds.png'
                labels = cv2.imread(os.path.join(root, 'gtFine', part, 'digits', name),
                                    cv2.IMREAD_UNCHANGED)
                _write_image(_map_file(root, part, classes, number),
                             np.minimum(labels, classes - 1))


def _write_digits(root, part, count):
    """Scans as colour images in one folder for each digit, and a file that names them."""
    from autokd_mm.datasets.digit_scenes import CLASSES, _scans
    import cv2
    scans, digits = _scans(part)
    labels = []
    for number in range(count):
        place = digits.index(number % 10, 20 * (number // 10))
        image = cv2.resize((255 * scans[place]).astype(np.uint8), (SIZE, SIZE))
        name = f'{digits[place]}/{number:03d}.png'
        _write_image(os.path.join(root, 'digits', part, name), np.repeat(image[..., None], 3, 2))
        labels.append(dict(img_path=name, gt_label=[digits[place]]))
    for digit in range(10):  # a class without images is a class all the same
        os.makedirs(os.path.join(root, 'digits', part, str(digit)), exist_ok=True)
    _write_json(os.path.join(root, 'digits', f'{part}.json'),
                dict(metainfo=dict(classes=CLASSES), data_list=labels))


def _write_proposals(path, part, scenes):
    """What another network would propose: the boxes, moved by up to four pixels."""
    random, found = np.random.RandomState(0), {}
    for image in scenes['images']:
        boxes = np.array([each['bbox'] for each in scenes['annotations']
                          if each['image_id'] == image['id']], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.repeat(boxes, 5, 0) + random.randint(-4, 5, (5 * len(boxes), 4))
        found[f'{part}/{image["file_name"]}'] = dict(
            bboxes=np.clip(boxes, 0, SIZE).astype(np.float32),
            scores=random.random_sample(len(boxes)).astype(np.float32))
    with open(path, 'wb') as file:
        pickle.dump(found, file)


def _with_classes(scenes, classes):
    return dict(
        scenes, categories=scenes['categories'][:classes],
        annotations=[dict(each, category_id=(each['category_id'] - 1) % classes + 1)
                     for each in scenes['annotations']])


def _boxes_file(root, part, classes):
    return os.path.join(root, 'annotations', f'{part}_{classes}.json')


def _map_file(root, part, classes, number):
    return os.path.join(root, f'maps_{classes}', part, f'{number:06d}.png')


def _write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        json.dump(value, file)


def _write_image(path, image):
    import cv2
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cv2.imwrite(path, image)


def use(config, task, classes, root):
    """Let the data sets and metrics of ``config`` read the data in ``root``; pipelines stay."""
    for part, name in (('train', 'train_dataloader'), ('val', 'val_dataloader'),
                       ('val', 'test_dataloader')):
        loader = config.get(name)
        if not loader or not loader.get('dataset'):
            loader = config[name] = dict(config.val_dataloader)
        loader.dataset = _dataset(loader.dataset, task, part, classes, root)
        most = 2 if part == 'train' else loader.get('batch_size', 1)
        loader.update(batch_size=min(most, 2), num_workers=0, persistent_workers=False)
        loader.pop('prefetch_factor', None)
    metric = _metric(config.val_evaluator, task, classes, root)
    config.val_evaluator = config.test_evaluator = metric


def _dataset(dataset, task, part, classes, root):
    """``dataset`` with its wrappers; the one below them reads our files."""
    if dataset.get('datasets'):
        return dict(dataset, datasets=[
            _dataset(each, task, part, classes, root) for each in dataset['datasets']])
    if 'dataset' in dataset:
        dataset = dict(dataset, dataset=_dataset(dataset['dataset'], task, part, classes, root))
        if 'times' in dataset:
            dataset['times'] = min(dataset['times'], 2)
        return dataset
    kept = {key: dataset[key] for key in ('pipeline', 'test_mode', 'filter_cfg') if key in dataset}
    names = tuple(str(number) for number in range(classes))
    if 'segmentation' == task.split()[-1] and task.startswith('semantic'):
        zero = _reduces_zero(dataset)
        kept.pop('filter_cfg', None)
        return dict(
            kept, type='BaseSegDataset', data_root=root, metainfo=dict(
                classes=names, palette=[[20 * number] * 3 for number in range(classes)]),
            reduce_zero_label=zero, img_suffix='.png', seg_map_suffix='.png',
            data_prefix=dict(img_path=f'images/{part}',
                             seg_map_path=f'maps_{classes + zero}/{part}'))
    if task in ('detection', 'instance segmentation'):
        if dataset.get('proposal_file'):
            kept['proposal_file'] = f'annotations/proposals_{part}.pkl'
        return dict(
            kept, type='CocoDataset', data_root=root, metainfo=dict(
                classes=names, palette=[(20 * number, ) * 3 for number in range(classes)]),
            ann_file=_boxes_file('', part, classes).lstrip('/'),
            data_prefix=dict(img=f'images/{part}/', **(
                dict(seg=f'maps_{max(classes, 2)}/{part}/')
                if 'seg' in dataset.get('data_prefix', {}) else {})))
    first = dataset['pipeline'][0]['type'] if dataset.get('pipeline') else ''
    if 'Load' not in str(first):
        return dict(kept, type='mmrazor.Digits', split=part)
    if task.startswith('multi-label'):
        return dict(kept, type='MultiLabelDataset', data_root=root, ann_file=f'digits/{part}.json',
                    data_prefix=f'digits/{part}')
    return dict(kept, type='CustomDataset', data_root=root, data_prefix=f'digits/{part}')


def _reduces_zero(dataset):
    """Whether label 0 of the maps is no class, as in ADE20K."""
    from mmseg.registry import DATASETS
    import inspect
    found = dataset.get('reduce_zero_label')
    if found is None:
        cls = DATASETS.get(dataset['type'])
        parameter = inspect.signature(cls.__init__).parameters.get('reduce_zero_label')
        found = bool(parameter and parameter.default is True)
    return bool(found)


def _metric(evaluator, task, classes, root):
    """Metrics on our data: those of boxes read COCO's form, all others stay."""
    many = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    if task in ('detection', 'instance segmentation'):
        if many[0].get('type') in ('VOCMetric', 'CrowdHumanMetric'):
            return dict(type='VOCMetric', metric='mAP')  # labels that are no whole numbers, too
        asked = next((each.metric for each in many if each.get('type') == 'CocoMetric'), None)
        asked = asked or (['bbox', 'segm'] if task.startswith('instance') else 'bbox')
        return dict(type='CocoMetric', ann_file=_boxes_file(root, 'val', classes), metric=asked)
    if task.startswith('multi-label'):
        return [dict(type='MultiLabelMetric'), dict(type='AveragePrecision')]
    return evaluator

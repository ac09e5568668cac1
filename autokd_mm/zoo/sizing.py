"""A proxy sized to a data set."""
from __future__ import annotations

import contextlib
import copy
import io
import os
import re
from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.registry import DATASETS, DefaultScope

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.datasets.digit_scenes import TRAIN
from autokd_mm.datasets.wrappers import source
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.zoo.images import shorter_side, side_of, training_side

# Training images of data sets that everybody has; of COCO those with boxes.
_KNOWN = dict(CocoDataset=('instances_train2017.json', 117266),
              CityscapesDataset=('leftImg8bit/train', 2975),
              ADE20KDataset=('images/training', 20210), ImageNet=('train', 1281167),
              CIFAR10=('', 50000), CIFAR100=('', 50000), COCOStuffDataset=('train2017', 118287),
              PascalContextDataset=('train', 4998), CamVidDataset=('train', 367))
# Written where they are missing, which is too much for a count.
_WRITTEN = ('DigitScenesCoco', 'DigitScenesCityscapes')
_LARGE = 20000
_EPOCHS = {LABEL: 4, BOXES: 8, SEGMENTATION: 4}
# Images of a small data set at most.
_MOST = {LABEL: 4000, BOXES: 1200, SEGMENTATION: 600}
_HELD_OUT = {LABEL: 1000, BOXES: 200, SEGMENTATION: 200}
_LARGEST_BATCH = {LABEL: 256, BOXES: 32, SEGMENTATION: 16}
# OpenMMLab's names of configs say how many GPUs have how many images.
_BATCH_IN_NAME = re.compile(r'(?:^|_)(\d+)xb(\d+)(?=[-_]|$)')
_STEPS = 4  # of an epoch at least


class Proxy(NamedTuple):
    """How much of the training a candidate gets.

    Attributes:
        config: ``proxy`` of a search.
        settings: the same, checked.
        why: reasons, a line each.
    """
    config: Dict[str, Any]
    settings: ProxySettings
    why: List[str]


def size(config: Any, kind: str) -> Proxy:
    """The rules by which the configs of the package were sized.

    Of a large data set a candidate sees a hundredth (boxes), a fiftieth (labels) or at most 600
    images (label maps), in few epochs; of a small one, half.

    Args:
        config: of the student.
        kind: of the annotations.
    """
    total, whose = count(config)
    found: Dict[str, Any] = {}
    if total is None:
        found.update(images=0.05, held_out=0.05)
    else:
        found.update(_numbers(total, kind))
    found['epochs'] = _EPOCHS[kind]
    images = found['images'] if isinstance(found['images'], int) else (
        round(found['images'] * total) if total else None)
    loader = int(config.train_dataloader.get('batch_size') or 1)
    batch, told = _batch(config, kind, images, loader)
    if batch != loader:
        found['batch_size'] = batch
    if kind != BOXES or (total or _LARGE) < _LARGE:
        found['views'] = 2
    side = _input_size(config, kind)
    if side:
        found['input_size'] = side
    if (images or _LARGE) > 4000 or (kind != LABEL and (total or _LARGE) > 1000):
        found['dtype'] = 'float16'
    settings = ProxySettings.from_config(found, loader)
    seen = f'{images:,} of {total:,} images' if total and images else 'a twentieth of the images'
    why = [f'proxy: {seen} ({whose}) in {found["epochs"]} epochs of batches of {batch}{told}']
    if side:
        what = 'the side of all' if kind == LABEL else 'the shorter side of'
        why.append(f'proxy: {what} images is {side} pixels')
    return Proxy(found, settings, why)


def count(config: Any) -> Tuple[Optional[int], str]:
    """Number of training images, ``None`` where nobody knows, and whose they are in words."""
    dataset = config.train_dataloader.dataset
    while dataset.get('dataset'):
        dataset = dataset['dataset']
    kind = str(getattr(dataset.get('type'), '__name__', dataset.get('type'))).split('.')[-1]
    known = _KNOWN.get(kind)
    if known and known[0] not in str({key: value for key, value in dataset.items()
                                      if key != 'pipeline'}):
        known = None  # other images of the same class
    here = os.path.exists(dataset.get('data_root') or '')  # whoever's it is, under usual names
    if known and not here:
        return known[1], kind
    if kind in _WRITTEN and not here:
        return TRAIN, f'{kind}, which are written when a training needs them'
    try:
        with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'), \
                contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells how long it took
            whole = DATASETS.build(copy.deepcopy(config.train_dataloader.dataset))
        # Of one that repeats images each counts once, as in a search.
        found = {(id(one), place) for one, place in map(partial(source, whole), range(len(whole)))}
        return len(found), f'{kind}, counted'
    except Exception:  # not on this machine, or not whole
        if known:
            return known[1], kind
        return None, f'{kind}, which is not here to be counted'


def _numbers(total: int, kind: str) -> Dict[str, Any]:
    if kind == LABEL:
        if total > 200000:
            return dict(images=0.02, held_out=5000)
        return dict(images=min(4000, total // 2), held_out=max(2, min(1000, total // 5)))
    held_out = max(2, min(200, total // 4))
    if kind == BOXES and total > _LARGE:
        return dict(images=0.01, held_out=held_out)
    if kind == SEGMENTATION and total > _LARGE // 10:
        return dict(images=round(max(300, min(600, total / 10)) / total, 2), held_out=held_out)
    return dict(images=max(2, min(_MOST[kind], total * 5 // 8)), held_out=held_out)


def _batch(config: Any, kind: str, images: Optional[int], loader: int) -> Tuple[int, str]:
    """That of the learning rate, as far as the images and a GPU go."""
    named = _BATCH_IN_NAME.search(os.path.splitext(os.path.basename(config.filename or ''))[0])
    base = int(named[1]) * int(named[2]) if named else (
        (config.get('auto_scale_lr') or {}).get('base_batch_size') or loader)
    most = min(_LARGEST_BATCH[kind], max(2, (images or _LARGE) // _STEPS))
    batch = max(min(base, most), min(loader, most))
    return batch, f' (the learning rate is for {base})' if batch < base else ''


def _input_size(config: Any, kind: str) -> int:
    """Half the side of a detector's images; a segmentor's crop; where a classifier is validated at
    another side than it learns with, the latter. 0: as the pipelines make them."""
    if kind == LABEL:
        side = training_side(config) or 0
        return side if side != side_of(config) else 0
    train, test = (shorter_side(config, f'{part}_dataloader') for part in ('train', 'val'))
    if kind == BOXES:
        side = test or train
        return side // 2 if side >= 512 else 0
    return train if 0 < train < test else 0

"""What cannot be loaded is told by its cause: a key that annotations lack is no damaged image."""
import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from autokd_mm.datasets.damage import ReadableImages, blamed
from autokd_mm.errors import DataError
from autokd_mm.registry import DATASETS


@pytest.fixture
def boxes_alone(tmp_path):
    """A COCO data set of one image whose annotation has no 'segmentation', and a pipeline that
    asks for it."""
    import mmdet.datasets  # noqa: F401  registers CocoDataset
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'one.bmp')
    (tmp_path / 'a.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='one.bmp', height=8, width=8)],
        categories=[dict(id=1, name='x')],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 4, 4], area=16,
                          iscrowd=0)])))
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(dict(
            type='mmdet.CocoDataset', data_root=str(tmp_path), data_prefix=dict(img=''),
            ann_file='a.json', metainfo=dict(classes=('x', )), pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)]))


def test_annotations_without_masks(boxes_alone, monkeypatch):
    error = blamed(boxes_alone, 0, 'KEY')
    monkeypatch.setattr('autokd_mm.datasets.damage._is_whole', lambda path: False)
    with pytest.raises(DataError) as info:
        ReadableImages(boxes_alone, 'KEY')(0)
    for line in (str(error), str(info.value)):
        assert line.startswith("KEY.pipeline: LoadAnnotations needs 'segmentation' "
                               '(with_mask=True) of '), line
        assert 'one.bmp, and its annotation has none' in line and "a.json'" in line
        assert 'cannot be read' not in line

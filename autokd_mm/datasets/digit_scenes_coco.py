"""Digit scenes for detection."""
from typing import Any

from mmdet.datasets import CocoDataset

from autokd_mm.datasets.digit_scenes import CLASSES, PALETTE, ensure_scenes
from autokd_mm.registry import DATASETS


@DATASETS.register_module()
class DigitScenesCoco(CocoDataset):
    """mmdet's ``CocoDataset`` over digit scenes, which are written where ``data_root`` has none.

    Args:
        data_root: folder of the scenes (see :func:`~autokd_mm.datasets.digit_scenes.
            ensure_scenes`).
        kwargs: of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        DataError: ``data_root`` holds something else, or cannot be written.
    """

    METAINFO = dict(classes=CLASSES, palette=PALETTE)

    def __init__(self, *args: Any, data_root: str, **kwargs: Any) -> None:
        ensure_scenes(data_root)
        super().__init__(*args, data_root=data_root, **kwargs)

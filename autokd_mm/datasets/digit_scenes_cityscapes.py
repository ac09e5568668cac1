"""Digit scenes for segmentation."""
from typing import Any

from mmseg.datasets import CityscapesDataset

from autokd_mm.datasets.digit_scenes import CLASSES, PALETTE, ensure_scenes
from autokd_mm.registry import DATASETS


@DATASETS.register_module()
class DigitScenesCityscapes(CityscapesDataset):
    """mmseg's ``CityscapesDataset`` over digit scenes, which are written where ``data_root`` has
    none. There are eleven classes: the background and the ten digits.

    Args:
        data_root: folder of the scenes (see :func:`~autokd_mm.datasets.digit_scenes.
            ensure_scenes`).
        kwargs: of :class:`mmseg.datasets.CityscapesDataset`.

    Raises:
        DataError: ``data_root`` holds something else, or cannot be written.
    """

    METAINFO = dict(classes=('background', ) + CLASSES,
                    palette=[[0, 0, 0]] + [list(colour) for colour in PALETTE])

    def __init__(self, *, data_root: str, **kwargs: Any) -> None:
        ensure_scenes(data_root)
        super().__init__(data_root=data_root, **kwargs)

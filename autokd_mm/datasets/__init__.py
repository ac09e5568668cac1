"""Embedded and local image data, and seeded views of any data, registered in MMRazor.

The image data are datasets of mmpretrain, mmdet and mmseg; where one of these is missing, so are
its data.
"""
import contextlib
import io
from importlib.util import find_spec

from autokd_mm.datasets.seeded_views import SeededViews, ViewSampler

__all__ = ['SeededViews', 'ViewSampler']

if find_spec('mmpretrain') is not None:
    from autokd_mm.datasets.digits import Digits
    from autokd_mm.datasets.local_cifar import LocalCIFAR10, LocalCIFAR100

    __all__ += ['Digits', 'LocalCIFAR10', 'LocalCIFAR100']

with contextlib.redirect_stdout(io.StringIO()):  # OneDL's packages print when they are imported
    if find_spec('mmdet') is not None:
        from autokd_mm.datasets.digit_scenes_coco import DigitScenesCoco

        __all__ += ['DigitScenesCoco']

    if find_spec('mmseg') is not None:
        from autokd_mm.datasets.digit_scenes_cityscapes import DigitScenesCityscapes

        __all__ += ['DigitScenesCityscapes']

"""Embedded and local image data, and seeded views of any data, registered in MMRazor.

The image data are mmpretrain datasets; in an environment with mmdet or mmseg only, there are none.
"""
from importlib.util import find_spec

from autokd_mm.datasets.seeded_views import SeededViews, ViewSampler

__all__ = ['SeededViews', 'ViewSampler']

if find_spec('mmpretrain') is not None:
    from autokd_mm.datasets.digits import Digits
    from autokd_mm.datasets.local_cifar import LocalCIFAR10, LocalCIFAR100

    __all__ += ['Digits', 'LocalCIFAR10', 'LocalCIFAR100']

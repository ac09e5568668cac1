"""Embedded and local image data, registered in MMRazor's ``DATASETS``.

They are mmpretrain datasets; in an environment with mmdet or mmseg only, there are none.
"""
from importlib.util import find_spec

__all__ = []

if find_spec('mmpretrain') is not None:
    from autokd_mm.datasets.digits import Digits
    from autokd_mm.datasets.local_cifar import LocalCIFAR10, LocalCIFAR100

    __all__ += ['Digits', 'LocalCIFAR10', 'LocalCIFAR100']

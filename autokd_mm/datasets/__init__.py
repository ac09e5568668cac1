"""Embedded and local image data, registered in MMRazor's ``DATASETS``."""
from autokd_mm.datasets.digits import Digits
from autokd_mm.datasets.local_cifar import LocalCIFAR10, LocalCIFAR100

__all__ = ['Digits', 'LocalCIFAR10', 'LocalCIFAR100']

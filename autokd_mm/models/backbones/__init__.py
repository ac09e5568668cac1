"""Backbones of the distillation literature, registered in MMRazor's ``MODELS``."""
from autokd_mm.models.backbones.cifar_resnet import CifarResNet
from autokd_mm.models.backbones.convert import (
    convert_checkpoint,
    infer_arch,
    to_classifier_state_dict,
)

__all__ = ['CifarResNet', 'convert_checkpoint', 'infer_arch', 'to_classifier_state_dict']

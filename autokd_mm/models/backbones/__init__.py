"""Backbones of the distillation literature, registered in MMRazor's ``MODELS``."""
from autokd_mm.models.backbones.cifar_mobilenet_v2 import CifarMobileNetV2
from autokd_mm.models.backbones.cifar_resnet import CifarResNet
from autokd_mm.models.backbones.cifar_shufflenet_v1 import CifarShuffleNetV1
from autokd_mm.models.backbones.cifar_shufflenet_v2 import CifarShuffleNetV2
from autokd_mm.models.backbones.cifar_vgg import CifarVGG
from autokd_mm.models.backbones.convert import (
    convert_checkpoint,
    infer_arch,
    to_classifier_state_dict,
)
from autokd_mm.models.backbones.mobilenet_v1 import MobileNetV1

__all__ = [
    'CifarMobileNetV2', 'CifarResNet', 'CifarShuffleNetV1', 'CifarShuffleNetV2', 'CifarVGG',
    'MobileNetV1', 'convert_checkpoint', 'infer_arch', 'to_classifier_state_dict',
]

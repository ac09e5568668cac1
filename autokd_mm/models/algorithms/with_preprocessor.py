"""A network that sees its images through the ``data_preprocessor`` of an algorithm."""
from __future__ import annotations

import copy
from typing import Any, Dict

from mmengine.model import BaseModel

from autokd_mm.registry import MODELS


@MODELS.register_module(name='WithPreprocessor')
def with_preprocessor(network: Dict[str, Any], data_preprocessor: Dict[str, Any]) -> BaseModel:
    """Build ``network`` and replace its ``data_preprocessor``, as an algorithm around it would.

    A config cannot always say so: MMPretrain's classifiers take no preprocessor but their own.
    """
    model = MODELS.build(copy.deepcopy(network))
    model.data_preprocessor = MODELS.build(copy.deepcopy(data_preprocessor))
    return model

"""Finding the layers that are compared, and listening to them."""
from autokd_mm.layers.capture import find_layer
from autokd_mm.layers.find import FACTORS, find_layers, forward, inputs_for
from autokd_mm.layers.strides import pair_by_stride
from autokd_mm.layers.tensors import Found, tensors_at

__all__ = [
    'FACTORS', 'Found', 'find_layer', 'find_layers', 'forward', 'inputs_for', 'pair_by_stride',
    'tensors_at'
]

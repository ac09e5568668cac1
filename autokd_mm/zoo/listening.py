"""Everything that the modules of a network say of one image."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.layouts import layout_of, says_channels_last, tensors_in
from autokd_mm.layers.padding import tell_size
from autokd_mm.layers.tensors import until_boxes
from autokd_mm.models.connectors.tokens import extra_tokens_of
from autokd_mm.models.transforms.grids import stride_of

# MMPretrain's wrappers of timm and others have the whole network at the second one.
_ROOTS = ('backbone', 'model')

Identity = Tuple[int, Tuple[int, ...]]


class Said(NamedTuple):
    """What one module said in one forward pass.

    Attributes:
        tensors: of its first call.
        plain: it returned one tensor and no tuple.
        calls: how often it was called.
        heard: identity of the first tensor that it was given.
        order: it was done as the so many-th.
        places: of the tensors in what it returned.
        grids: (rows, columns) of each tensor's tokens, where it says so.
    """
    tensors: Tuple[torch.Tensor, ...]
    plain: bool
    calls: int
    heard: Optional[Identity]
    order: int
    places: Tuple[int, ...]
    grids: Tuple[Optional[Tuple[int, int]], ...]


class Heard(NamedTuple):
    """A network and what its modules said, by name.

    Attributes:
        size: (height, width) of the image in pixels, as the network saw it.
        result: what the network returned; ``None`` where it did not come to an end.
        error: why it did not.
        dense: images may differ in size.
    """
    network: nn.Module
    said: Dict[str, Said]
    size: Tuple[int, int]
    result: Any
    error: Optional[Exception]
    dense: bool


class Map(NamedTuple):
    """A map at a layer.

    Attributes:
        source: as ``layers`` names it.
        channels: C.
        stride: pixels of the image per cell.
        tensor: N x C x H x W, of tokens N x L x D.
    """
    source: str
    channels: int
    stride: float
    tensor: torch.Tensor


def root_of(heard: Heard) -> str:
    """The name of the part that sees the image; '' where there is none of a usual name."""
    return next((name for name in _ROOTS if hasattr(heard.network, name)), '')


def identity(tensor: torch.Tensor) -> Identity:
    """Equal for a tensor and its aliases of the same shape, as long as all are kept."""
    return tensor.data_ptr(), tuple(tensor.shape)


@torch.no_grad()
def listen(network: nn.Module, inputs: torch.Tensor,
           samples: Optional[Sequence[Any]] = None, dense: bool = False) -> Heard:
    """Run ``network`` once in evaluation mode.

    A head may want more than images; what was said before it failed is kept, with the error.

    Args:
        inputs: N x C x H x W, normalised.
        samples: data samples of the images.
        dense: images may differ in size.
    """
    said: Dict[str, Said] = {}

    def keep(name: str) -> Any:

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if name in said:
                said[name] = said[name]._replace(calls=said[name].calls + 1)
                return
            places, tensors, grids = zip(*tensors_in(output) or [(0, None, None)])
            if all(isinstance(one, torch.Tensor) for one in tensors):
                first = next((one for one in args if isinstance(one, torch.Tensor)), None)
                said[name] = Said(tensors, isinstance(output, torch.Tensor), 1,
                                  None if first is None else identity(first), len(said), places,
                                  grids)

        return hook

    handles = [module.register_forward_hook(keep(name))
               for name, module in network.named_modules() if name]
    tell_size(samples, inputs)
    network.eval()
    result, error = None, None
    try:
        with until_boxes(network, ()):  # what is behind gives no maps
            result = network(inputs, *([] if samples is None else [list(samples)]), mode='tensor')
    except Exception as failed:
        error = failed
    finally:
        for handle in handles:
            handle.remove()
    return Heard(network, said, (int(inputs.shape[-2]), int(inputs.shape[-1])), result, error,
                 dense)


def _map(heard: Heard, source: str, name: str, at: int) -> Optional[Map]:
    """The map that a tensor of the module ``name`` is; ``None`` where it is none.

    Args:
        at: which of its tensors.
    """
    tensor, grid = heard.said[name].tensors[at], heard.said[name].grids[at]
    if tensor.dim() not in (3, 4):
        return None
    try:
        layout = layout_of(tensor, extra_tokens_of(heard.network, name), heard.size, heard.dense,
                           grid, name, says_channels_last(heard.network, name))
        shape = layout.as_map(tensor, name, heard.size).shape
    except ConfigError:
        return None
    if len(shape) != 4 or shape[2] * shape[3] < 2:
        return None
    stride = stride_of((int(shape[2]), int(shape[3])), heard.size)
    return Map(source, int(shape[1]), stride or heard.size[0] / int(shape[2]), tensor)


def maps_of(heard: Heard, name: str) -> List[Map]:
    """The maps that the module ``name`` returns, one for each tensor that is one."""
    said = heard.said.get(name)
    if said is None or said.calls > 1:
        return []
    single = len(said.tensors) == 1
    found = [_map(heard, name if single else f'{name}[{place}]', name, at)
             for at, place in enumerate(said.places)]
    return [one for one in found if one is not None]

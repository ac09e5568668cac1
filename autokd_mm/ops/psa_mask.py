"""The masks of point-wise spatial attention, laid over the map (Zhao et al., ECCV 2018).

Place (h, w) has an attention map of its own, centred on it, of ``h_mask x w_mask``. Laid over the
map, so that entry (i, j) speaks of place (i, j), with zeros where it does not reach::

    collect:     out(i W + j, h, w) = in((i - h + half_h) w_mask + (j - w + half_w), h, w)
    distribute:  out(h W + w, i, j) = the same
"""
import torch
from torch import Tensor

from autokd_mm.ops.precision import operation

_COLLECT = 0


@operation
def psamask_forward(input: Tensor, output: Tensor, psa_type: int, num_: int, h_feature: int,
                    w_feature: int, h_mask: int, w_mask: int, half_h_mask: int,
                    half_w_mask: int) -> None:
    """
    Args:
        input: (N, h_mask w_mask, H, W).
        output: (N, H W, H, W), written.
        psa_type: 0 collects, 1 distributes.
        num_: N.
        h_feature, w_feature: H, W.
        h_mask, w_mask, half_h_mask, half_w_mask: see above.
    """
    h, w = _places(input)
    j = torch.arange(w_feature, device=input.device)[:, None, None]
    laid = _places_first(output, psa_type)
    for i in range(h_feature):
        row, column = i - h + half_h_mask, j - w + half_w_mask
        reached = (row >= 0) & (row < h_mask) & (column >= 0) & (column < w_mask)
        number = (row * w_mask + column).where(reached, row.new_zeros(()))
        values = input.gather(1, number.expand(num_, -1, -1, -1)) * reached
        laid[:, i * w_feature:(i + 1) * w_feature] = values.flatten(2)


@operation
def psamask_backward(grad_output: Tensor, grad_input: Tensor, psa_type: int, num_: int,
                     h_feature: int, w_feature: int, h_mask: int, w_mask: int, half_h_mask: int,
                     half_w_mask: int) -> None:
    """Every entry of a mask is in one place of the output at the most: its gradient is there."""
    h, w = _places(grad_input)
    column = torch.arange(w_mask, device=grad_input.device)[:, None, None]
    laid = _places_first(grad_output, psa_type).reshape(num_, h_feature * w_feature, h_feature,
                                                        w_feature)
    for row in range(h_mask):
        i, j = row + h - half_h_mask, column + w - half_w_mask
        reached = (i >= 0) & (i < h_feature) & (j >= 0) & (j < w_feature)
        number = (i * w_feature + j).where(reached, i.new_zeros(()))
        grad_input[:, row * w_mask:(row + 1) * w_mask] = (
            laid.gather(1, number.expand(num_, -1, -1, -1)) * reached)


def _places(maps: Tensor) -> tuple:
    """h and w of each place, (1, H, 1) and (1, 1, W)."""
    height, width = maps.shape[2:]
    return (torch.arange(height, device=maps.device)[None, :, None],
            torch.arange(width, device=maps.device)[None, None])


def _places_first(laid: Tensor, psa_type: int) -> Tensor:
    """(N, places spoken of, places that speak), whichever of the two the output begins with."""
    flat = laid.flatten(2)
    return flat if psa_type == _COLLECT else flat.transpose(1, 2)

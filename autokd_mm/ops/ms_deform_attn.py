"""Multi-scale deformable attention: a query reads a few points of each map (Zhu et al., ICLR 2021).

With the value maps v_l, the sampling points s and the weights A of query q and head h::

    y(q, h) = sum over levels l and points p of A(q, h, l, p) v_l(s(q, h, l, p))

A position (0, 0) is the corner of a map, (1, 1) the opposite one; outside it is 0. mmcv's own path
in pure torch, which it takes on a CPU, keeps what was read of all levels until they are weighted.
Here each level is weighted by itself, and read again in the backward pass.
"""
from typing import Iterator, List, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autokd_mm.ops.precision import counted_in, operation


@operation
def ms_deform_attn_forward(value: Tensor, value_spatial_shapes: Tensor,
                           value_level_start_index: Tensor, sampling_locations: Tensor,
                           attention_weights: Tensor, im2col_step: int) -> Tensor:
    """
    Args:
        value: (B, keys of all levels, heads, D).
        value_spatial_shapes: height and width of each level, (L, 2).
        value_level_start_index: first key of each level, (L, ); they follow each other.
        sampling_locations: (B, Q, heads, L, P, 2), x before y.
        attention_weights: (B, Q, heads, L, P).
        im2col_step: not used.

    Returns:
        (B, Q, heads D).
    """
    maps, points, weights = counted_in(value, sampling_locations, attention_weights)
    total = torch.zeros((), device=value.device)
    for level, keys, shape in _levels(value_spatial_shapes):
        total = total + _read(maps[:, keys], points[:, :, :, level], weights[:, :, :, level],
                              shape)
    return total.to(value.dtype)


@operation
def ms_deform_attn_backward(value: Tensor, value_spatial_shapes: Tensor,
                            value_level_start_index: Tensor, sampling_locations: Tensor,
                            attention_weights: Tensor, grad_output: Tensor, grad_value: Tensor,
                            grad_sampling_loc: Tensor, grad_attn_weight: Tensor,
                            im2col_step: int) -> None:
    """Write the gradients of value, points and weights; each level is read again for that."""
    maps, points, weights, grad = counted_in(value, sampling_locations, attention_weights,
                                             grad_output)
    for level, keys, shape in _levels(value_spatial_shapes):
        inputs = [part.detach().requires_grad_() for part in
                  (maps[:, keys], points[:, :, :, level], weights[:, :, :, level])]
        with torch.enable_grad():
            read = _read(inputs[0], inputs[1], inputs[2], shape)
            grads = torch.autograd.grad(read, inputs, grad)
        grad_value[:, keys] = grads[0].to(grad_value.dtype)
        grad_sampling_loc[:, :, :, level] = grads[1].to(grad_sampling_loc.dtype)
        grad_attn_weight[:, :, :, level] = grads[2].to(grad_attn_weight.dtype)


def _levels(shapes: Tensor) -> Iterator[Tuple[int, slice, List[int]]]:
    start = 0  # a level begins where the one before ends; one question to a GPU is enough
    for level, shape in enumerate(shapes.tolist()):
        end = start + shape[0] * shape[1]
        yield level, slice(start, end), shape
        start = end


def _read(value: Tensor, points: Tensor, weights: Tensor, shape: List[int]) -> Tensor:
    """One level: (B, keys, heads, D), (B, Q, heads, P, 2), (B, Q, heads, P) -> (B, Q, heads D)."""
    batch, _, heads, size = value.shape
    queries = points.shape[1]
    maps = value.permute(0, 2, 3, 1).reshape(batch * heads, size, *shape)
    grid = 2 * points.transpose(1, 2).flatten(0, 1) - 1
    read = F.grid_sample(maps, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
    weighted = torch.einsum('ndqp,nqp->nqd', read, weights.transpose(1, 2).flatten(0, 1))
    return (weighted.view(batch, heads, queries, size).transpose(1, 2)
            .reshape(batch, queries, heads * size))

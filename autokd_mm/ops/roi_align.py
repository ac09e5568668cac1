"""RoIAlign: the bins of a region, read between the pixels (He et al., ICCV 2017).

With the points p of a bin as :mod:`~autokd_mm.ops.roi_bins` has them and v as
:mod:`~autokd_mm.ops.bilinear` reads it, a bin is ``mean_p v(p)``, torchvision's operation, or
``max_p v(p)``. A bin without a point is 0. (mmcv's extension agrees for the mean; its maximum of
no point is -10000 on a CPU and the lowest float on a GPU.)
"""
import torch
from torch import Tensor

from autokd_mm.ops.bilinear import planes_of, read, spread
from autokd_mm.ops.precision import counted_in, fill, kernels, operation
from autokd_mm.ops.roi_bins import Bins

_MAX = 0
_OUTSIDE = -2  # a position that reads nothing


@operation
def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor,
                      argmax_x: Tensor, aligned_height: int, aligned_width: int,
                      spatial_scale: float, sampling_ratio: int, pool_mode: int,
                      aligned: bool) -> None:
    """
    Args:
        input: (B, C, H, W).
        rois: (N, 5), image and corners.
        output: (N, C, aligned_height, aligned_width), written.
        argmax_y, argmax_x: as ``output``, written where the maximum is taken: where it was.
        aligned_height, aligned_width: bins.
        spatial_scale, sampling_ratio, aligned: see :class:`~autokd_mm.ops.roi_bins.Bins`.
        pool_mode: 0 is the maximum, 1 the mean.
    """
    maps, rois = counted_in(input, rois)
    if pool_mode != _MAX:
        fill([output], lambda: [kernels.roi_align(
            maps, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)])
        return
    planes = planes_of(maps, rois[:, 0])
    shape = (*output.shape[:2], aligned_height * aligned_width)
    best = maps.new_full(shape, float('-inf'))
    best_y, best_x = best.new_full(shape, _OUTSIDE), best.new_full(shape, _OUTSIDE)
    for y, x, exists in Bins(rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio,
                             aligned):
        value = read(maps, planes, y, x)
        better = (value > best) & exists
        best, best_y, best_x = (torch.where(better, new, old) for new, old in
                                ((value, best), (y, best_y), (x, best_x)))
    best = best.masked_fill(best_y == _OUTSIDE, 0)
    for written, values in ((output, best), (argmax_y, best_y), (argmax_x, best_x)):
        written.copy_(values.view_as(output))


@operation
def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor,
                       grad_input: Tensor, aligned_height: int, aligned_width: int,
                       spatial_scale: float, sampling_ratio: int, pool_mode: int,
                       aligned: bool) -> None:
    """The gradient goes to the pixels around the points of a bin, or around its maximum.

    Args:
        grad_output: (N, C, aligned_height, aligned_width).
        grad_input: (B, C, H, W), written.
        rois and the others: as in the forward pass.
    """
    grad, rois = counted_in(grad_output, rois)
    shape = grad_input.shape
    if pool_mode != _MAX:
        fill([grad_input], lambda: [kernels._roi_align_backward(
            grad, rois, spatial_scale, aligned_height, aligned_width, *shape, sampling_ratio,
            aligned)])
        return
    total = torch.zeros_like(grad_input, dtype=grad.dtype)
    spread(grad.flatten(2), planes_of(total, rois[:, 0]), argmax_y.to(grad).flatten(2),
           argmax_x.to(grad).flatten(2), total)
    grad_input.copy_(total)

"""Deformable convolution, without (v1) and with (v2) a mask, on torchvision's operation.

With the positions k of the kernel, their learned moves o_k and masks m_k (1 in v1), at each place p
(Dai et al., ICCV 2017; Zhu et al., CVPR 2019)::

    y(p) = sum_k w_k m_k(p) x(p + p_k + o_k(p)) + b

torchvision lays out the columns of up to 32 images at once. Here, as in mmcv, it gets as many as
``im2col_step`` says, and one in v2.
"""
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor

from autokd_mm.ops.precision import counted_in, fill, kernels, operation


@operation
def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor, output: Tensor,
                        columns: Tensor, ones: Tensor, kW: int, kH: int, dW: int, dH: int,
                        padW: int, padH: int, dilationW: int, dilationH: int, group: int,
                        deformable_group: int, im2col_step: int) -> None:
    """
    Args:
        input: (B, C, H, W).
        weight: (D, C / group, kH, kW).
        offset: (B, 2 kH kW deformable_group, H', W'), y before x.
        output: (B, D, H', W'), written.
        columns, ones: mmcv's scratch, not used.
        dW, dH: stride.
        im2col_step: images that are laid out at once.
    """
    maps, kernel, moves = counted_in(input, weight, offset)
    settings = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    _forward(maps, kernel, moves, None, None, settings, im2col_step, output)


@operation
def deform_conv_backward_input(input: Tensor, offset: Tensor, gradOutput: Tensor,
                               gradInput: Tensor, gradOffset: Tensor, weight: Tensor,
                               columns: Tensor, kW: int, kH: int, dW: int, dH: int, padW: int,
                               padH: int, dilationW: int, dilationH: int, group: int,
                               deformable_group: int, im2col_step: int) -> None:
    """Write ``gradInput`` and ``gradOffset``, the gradients of :func:`deform_conv_forward`.

    torchvision has one function for all gradients. The weight's is left in ``columns``, mmcv's
    scratch, for :func:`deform_conv_backward_parameters`, which gets the same tensor.
    """
    maps, kernel, moves, grad = counted_in(input, weight, offset, gradOutput)
    settings = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    columns.resize_(kernel.shape).zero_()
    _backward(grad, maps, kernel, moves, None, None, settings, im2col_step,
              [gradInput, gradOffset], [columns])


@operation
def deform_conv_backward_parameters(input: Tensor, offset: Tensor, gradOutput: Tensor,
                                    gradWeight: Tensor, columns: Tensor, ones: Tensor, kW: int,
                                    kH: int, dW: int, dH: int, padW: int, padH: int,
                                    dilationW: int, dilationH: int, group: int,
                                    deformable_group: int, scale: float,
                                    im2col_step: int) -> None:
    """Add ``scale`` times the gradient of the weight to ``gradWeight``."""
    if columns.shape != gradWeight.shape:  # only the weight learns: nothing was left there
        maps, moves, grad = counted_in(input, offset, gradOutput)
        settings = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        kernel = maps.new_zeros(gradWeight.shape)
        columns = torch.zeros_like(kernel)
        _backward(grad, maps, kernel, moves, None, None, settings, im2col_step, [], [columns])
    gradWeight.add_(columns.to(gradWeight.dtype), alpha=scale)
    columns.set_()  # type: ignore[call-overload]


@operation
def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
                                  offset: Tensor, mask: Tensor, output: Tensor, columns: Tensor,
                                  kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
                                  pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
                                  group: int, deformable_group: int, with_bias: bool) -> None:
    """
    Args:
        input, weight, offset, output: as in :func:`deform_conv_forward`.
        bias: (D, ), used if ``with_bias``.
        mask: (B, kernel_h kernel_w deformable_group, H', W'). Its sides and those of ``offset`` may
            be larger, see :func:`_first_in_memory`.
        ones, columns: mmcv's scratch, not used.
    """
    maps, kernel, shift, moves, masks = counted_in(input, weight, bias, offset, mask)
    moves, masks = (_first_in_memory(one, output) for one in (moves, masks))
    settings = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    _forward(maps, kernel, moves, masks, shift if with_bias else None, settings, 1, output)


@operation
def modulated_deform_conv_backward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
                                   offset: Tensor, mask: Tensor, columns: Tensor,
                                   grad_input: Tensor, grad_weight: Tensor, grad_bias: Tensor,
                                   grad_offset: Tensor, grad_mask: Tensor, grad_output: Tensor,
                                   kernel_h: int, kernel_w: int, stride_h: int, stride_w: int,
                                   pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
                                   group: int, deformable_group: int, with_bias: bool) -> None:
    """Write the gradients of :func:`modulated_deform_conv_forward`."""
    maps, kernel, shift, moves, masks, grad = counted_in(input, weight, bias, offset, mask,
                                                         grad_output)
    moves, masks = (_first_in_memory(one, grad) for one in (moves, masks))
    of_moves, of_masks = ((whole if whole.shape == part.shape else torch.empty_like(part))
                          for whole, part in ((grad_offset, moves), (grad_mask, masks)))
    settings = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    _backward(grad, maps, kernel, moves, masks, shift if with_bias else None, settings, 1,
              [grad_input, of_moves, of_masks], [grad_weight] + [grad_bias] * with_bias)
    for whole, part in ((grad_offset, of_moves), (grad_mask, of_masks)):
        if whole is not part:
            found = part.flatten(1).to(whole.dtype)
            whole.zero_().view(len(whole), -1)[:, :found.shape[1]] = found


def _first_in_memory(moves: Tensor, output: Tensor) -> Tensor:
    """Moves or masks as mmcv reads them: by the sides of the output, from the start of each image.

    Of larger ones, as DyHead has for its coarser levels, it so takes what happens to lie first.
    Networks are trained and published with that.
    """
    size = output.shape[2:]
    if moves.shape[2:] == size or moves.shape[2:].numel() < size.numel():
        return moves
    used = moves.shape[1] * size.numel()
    return moves.flatten(1)[:, :used].reshape(len(moves), moves.shape[1], *size)


def _parts(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, step))


def _arguments(maps: Tensor, kernel: Tensor, moves: Tensor, masks: Optional[Tensor],
               shift: Optional[Tensor], part: slice) -> Tuple[Tensor, ...]:
    """torchvision's tensors for some images; it wants a mask and a bias even where it uses none."""
    return (maps[part].contiguous(), kernel, moves[part].contiguous(),
            maps.new_zeros(len(maps[part]), 1) if masks is None else masks[part].contiguous(),
            maps.new_zeros(len(kernel)) if shift is None else shift)


def _forward(maps: Tensor, kernel: Tensor, moves: Tensor, masks: Optional[Tensor],
             shift: Optional[Tensor], settings: Sequence[int], step: int,
             output: Tensor) -> None:
    def some(part: slice) -> Tensor:
        tensors = _arguments(maps, kernel, moves, masks, shift, part)
        return kernels.deform_conv2d(*tensors, *settings, masks is not None)

    if len(maps) <= step:
        fill([output], lambda: [some(slice(None))])
        return
    for part in _parts(len(maps), step):
        output[part] = some(part)


def _backward(grad: Tensor, maps: Tensor, kernel: Tensor, moves: Tensor, masks: Optional[Tensor],
              shift: Optional[Tensor], settings: Sequence[int], step: int,
              of_images: Sequence[Tensor], of_all: Sequence[Tensor]) -> None:
    """Write the gradients of maps, moves and masks to ``of_images``, and add those of the kernel
    and the bias to ``of_all``; as many of each as are there."""
    def some(part: slice) -> Sequence[Tensor]:
        tensors = _arguments(maps, kernel, moves, masks, shift, part)
        of_maps, of_kernel, of_moves, of_masks, of_shift = kernels._deform_conv2d_backward(
            grad[part].contiguous(), *tensors, *settings, masks is not None)
        for total, found in zip(of_all, (of_kernel, of_shift)):
            total += found
        return of_maps, of_moves, of_masks

    if len(maps) <= step:
        fill(of_images, lambda: some(slice(None)))
        return
    for part in _parts(len(maps), step):
        for output, found in zip(of_images, some(part)):
            output[part] = found

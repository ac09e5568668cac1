"""Masked convolution: only where a mask says so, as columns (Wang et al., CVPR 2019).

Each chosen place (h, w) becomes a column of what the kernel covers there, zeros outside the map;
the caller multiplies all columns by the weight, and what comes out goes back to the places.
"""
from torch import Tensor
from torch.nn import functional as F

from autokd_mm.ops.precision import operation


@operation
def masked_im2col_forward(im: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, col: Tensor,
                          kernel_h: int, kernel_w: int, pad_h: int, pad_w: int) -> None:
    """
    Args:
        im: (1, C, H, W).
        mask_h_idx, mask_w_idx: the places, (M, ).
        col: (C kernel_h kernel_w, M), written.
        kernel_h, kernel_w, pad_h, pad_w: of the convolution.
    """
    padded = F.pad(im[0], [pad_w, pad_w, pad_h, pad_h])
    columns = col.view(len(padded), kernel_h, kernel_w, -1)
    for row in range(kernel_h):
        for column in range(kernel_w):
            columns[:, row, column] = padded[:, mask_h_idx + row, mask_w_idx + column]


@operation
def masked_col2im_forward(col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor,
                          height: int, width: int, channels: int) -> None:
    """Write the columns ``col`` (channels, M) to their places of ``im`` (1, channels, H, W)."""
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im.dtype)

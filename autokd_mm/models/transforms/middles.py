"""Which positions of a pyramid have their middle in a ground-truth box."""
from __future__ import annotations

from typing import List, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autokd_mm.models.transforms.grids import stride_of
from autokd_mm.models.transforms.regions import Region
from autokd_mm.models.transforms.tensors import block_size, blocks


class MiddlesInBoxes(Region):
    """1 at the positions of all levels whose middle lies in a box of its image, and 0 elsewhere.

    Shapes: maps N x C x H x W by level -> N x 1 x P booleans, P positions of all levels.

    Source: FCOS (Tian et al., ICCV 2019) takes these positions for candidates of the object.
    """

    @torch.no_grad()
    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        seen = self.seen(len(levels[0]))
        device = levels[0].device
        x, y = self._middles(levels, seen.batch, device)
        boxes = [found.detach().to(device, torch.float32) for found in seen.boxes]
        # What is added to the shorter lists is no box: nothing lies to the right of infinity.
        whole = pad_sequence(boxes, batch_first=True, padding_value=float('inf'))
        inside = torch.zeros((len(whole), len(x)), dtype=torch.bool, device=device)
        step = block_size(levels[0])
        for part in blocks(whole.shape[1], inside.numel(), step):
            x1, y1, x2, y2 = whole[:, part, None].unbind(-1)
            inside |= ((x >= x1) & (x < x2) & (y >= y1) & (y < y2)).any(1)
        return inside[:, None]

    @staticmethod
    def _middles(levels: Sequence[Tensor], batch: Sequence[int],
                 device: torch.device) -> List[Tensor]:
        """x and y in pixels of the middles of the cells."""
        found: List[List[Tensor]] = [[], []]
        for level in levels:
            rows, columns = int(level.shape[-2]), int(level.shape[-1])
            stride = stride_of((rows, columns), (batch[0], batch[1]))
            sides = (stride, stride) if stride else (batch[0] / rows, batch[1] / columns)
            y = (torch.arange(rows, device=device) + 0.5) * sides[0]
            x = (torch.arange(columns, device=device) + 0.5) * sides[1]
            found[0].append(x.repeat(rows))
            found[1].append(y.repeat_interleave(columns))
        return [torch.cat(parts) for parts in found]

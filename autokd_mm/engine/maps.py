"""Maps of the winner: what teacher and student of the final round see of one image."""
from __future__ import annotations

import glob
import os
from typing import Any, Callable

import numpy as np
from mmengine.dataset import pseudo_collate
from torch import nn

from autokd_mm.engine.config import load_config
from autokd_mm.errors import AutoKDError
from autokd_mm.page.render import maps_of
from autokd_mm.teacher.checkpoint import save_weights
from autokd_mm.whole_file import replacing

FOLDER = 'final'


class KeptWeights:
    """Student and connectors of those in the final round, behind one run of each.

    At the end the winner's alone are kept, as ``final/NUMBER.pth``; ``autokd visualize`` reads
    them as it reads a checkpoint of the full training.

    Args:
        work_dir: of the search.
        dataset: gives that whose first image is drawn, as a test pipeline makes it.
        say: told what could not be kept or drawn: no search ends for it.
    """

    def __init__(self, work_dir: str, dataset: Callable[[], Any],
                 say: Callable[[str], None]) -> None:
        self.work_dir, self.dataset, self.say = work_dir, dataset, say

    def path(self, number: int) -> str:
        return os.path.join(self.work_dir, FOLDER, f'{number}.pth')

    def keep(self, number: int, candidate: nn.Module) -> None:
        """Write the weights of a trial's candidate; a longer run takes the place of a shorter."""
        try:
            os.makedirs(os.path.dirname(self.path(number)), exist_ok=True)
            save_weights({name: value.detach().cpu()
                          for name, value in candidate.state_dict().items()}, self.path(number))
        except (OSError, RuntimeError) as error:  # torch.save raises both where a disk is full
            self.say(f'weights of trial {number} are not kept: {" ".join(str(error).split())}')

    def draw(self, number: int, config: str) -> None:
        """Remove the weights of the others, and draw the winner's maps if they are not there.

        Args:
            number: of the winner. config: the file that was written for it.
        """
        out, own = maps_of(self.work_dir, number), self.path(number)
        try:
            for path in glob.glob(os.path.join(glob.escape(os.path.dirname(own)), '*.pth')):
                if path != own:
                    os.remove(path)
            if os.path.isfile(own) and not os.path.isfile(out):
                _draw(config, own, self.dataset(), out)
        except (AutoKDError, OSError, RuntimeError, KeyError, TypeError, ValueError,
                AttributeError, IndexError) as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            self.say(f'maps of the winner are not drawn: {reason}')


def _draw(config: str, weights: str, dataset: Any, out: str) -> None:
    import cv2

    from autokd_mm.models.algorithms.renormalise import flips_channels
    from autokd_mm.visualization import compare, draw
    from autokd_mm.visualization.loading import load_model
    model, note = load_model(load_config(config), weights)
    data = pseudo_collate([dataset[0]])
    shown = data['inputs'][0].permute(1, 2, 0).numpy()
    if shown.shape[2] == 1:
        shown = shown.repeat(3, axis=2)
    elif flips_channels(model.data_preprocessor):
        shown = shown[..., ::-1]
    picture = draw(np.ascontiguousarray(shown, np.uint8), compare(model, data), note)
    with replacing(out) as unfinished, open(unfinished, 'wb') as file:
        file.write(cv2.imencode('.png', picture[..., ::-1])[1].tobytes())

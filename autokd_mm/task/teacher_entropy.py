"""How sure the teacher is of each image, computed once and kept beside the banks."""
from __future__ import annotations

import json
import os
from typing import Any, List, Mapping, Optional

import numpy as np
import torch
from mmengine.model import BaseModel

from autokd_mm.datasets.half import Half
from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import forward, inputs_for
from autokd_mm.models.transforms.tensors import two_classes
from autokd_mm.proxy.data import Progress, read_one
from autokd_mm.whole_file import whole_file

FILE = 'entropy.npz'


def teacher_entropy(model: BaseModel, layer: str, dataset: Any, indices: np.ndarray, seed: int,
                    batch_size: int, input_size: int = 0,
                    progress: Progress = lambda what, done, total: None) -> np.ndarray:
    """Entropy in nats of the teacher's prediction, one forward pass over the images.

    Args:
        model: the :class:`FrozenTeacherDistill` with the trained teacher.
        layer: of the teacher's logits.
        dataset: with the pipeline of validation.
        indices: samples of it.

    Returns:
        float32, one for each index.

    Raises:
        ConfigError: the images differ in size, or the logits are not finite.
    """
    found: List[torch.Tensor] = []
    half = Half(dataset, indices)
    for start in range(0, len(indices), batch_size):
        images = [read_one(half, int(index), 0, seed, input_size)[0]
                  for index in indices[start:start + batch_size]]
        if len({image.shape for image in images}) > 1:
            raise ConfigError('val_pipeline: the images of the proxy differ in size; crop or '
                              'resize them to one size, or set proxy.input_size')
        inputs = inputs_for(model, torch.from_numpy(np.stack(images)), teacher=True)
        logits = forward(model.teacher, dict(logits=layer), inputs)['logits'].flatten(1)
        found.append(entropy(logits).cpu())
        progress('entropy of the teacher', start + len(images), len(indices))
    result = torch.cat(found).numpy()
    if not np.isfinite(result).all():
        raise ConfigError("teacher_ckpt: the teacher's logits are not finite")
    return result


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy in nats of softmax(logits), N x K -> N."""
    log = torch.log_softmax(two_classes(logits).float(), dim=1)
    return -(log.exp() * log).sum(1)


def remembered(folder: Optional[str], made_from: Mapping[str, Any],
               indices: np.ndarray) -> Optional[np.ndarray]:
    """The entropies that :func:`remember` wrote for the same teacher and images, or ``None``.

    Reading them again is not only quicker: another machine or number of threads rounds otherwise,
    and a resumed search would choose other images than its banks hold.
    """
    if not folder or not os.path.isfile(os.path.join(folder, FILE)):
        return None
    try:
        with np.load(os.path.join(folder, FILE), allow_pickle=False) as found:
            same = (str(found['made_from']) == _text(made_from)
                    and np.array_equal(found['indices'], indices))
            return found['entropy'] if same else None
    except Exception:  # torn: a zip file tells it in many ways
        return None


def remember(folder: Optional[str], made_from: Mapping[str, Any], indices: np.ndarray,
             values: np.ndarray) -> None:
    """Keep entropies in ``folder``; without a folder nothing is kept."""
    if not folder:
        return
    os.makedirs(folder, exist_ok=True)
    with whole_file(os.path.join(folder, FILE)) as file:
        np.savez(file, made_from=np.array(_text(made_from)), indices=indices, entropy=values)


def _text(made_from: Mapping[str, Any]) -> str:
    return json.dumps(made_from, sort_keys=True)

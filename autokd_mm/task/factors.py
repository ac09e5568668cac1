"""What share of the feature loss each pair of layers gets, before anything is trained."""
from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import capture, find_layer
from autokd_mm.measure.dense_evaluation import inside, on_grid, positions
from autokd_mm.measure.terms import linear_cka_gap
from autokd_mm.models.distillers import LayerPair, Layers, split_source, stop_when
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.seeding import seeded_on

COMPUTED = ('cka', 'gram')
_IMAGES, _GRID = 64, 4


def checked_temperature(names: Mapping[str, Any]) -> float:
    """``layers.factor_temperature``.

    Raises:
        ConfigError: no number above 0, or nothing to use it for.
    """
    value = names.get('factor_temperature', 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or \
            not 0 < value < math.inf:
        raise ConfigError(f'layers.factor_temperature={value!r}: must be a number above 0')
    if 'factor_temperature' in names and names.get('factors') not in COMPUTED:
        raise ConfigError('layers.factor_temperature means something only with layers.factors='
                          + ' or '.join(map(repr, COMPUTED)))
    return float(value)


def weigh(layers: Layers, names: Mapping[str, Any], student: nn.Module, images: ProxyBatches,
          batch_size: int, seed: int) -> Layers:
    """The layers with the factors that ``layers.factors`` asks to compute.

    softmax(s / t) over the pairs, t = ``layers.factor_temperature``. s is how much alike the
    relations between samples are in the teacher's feature and in that of the student as it is
    initialised:

    - ``'cka'``: linear CKA (Kornblith et al., ICML 2019), 0 to 1;
    - ``'gram'``: minus the mean over rows of the squared distance of the Gram matrices with rows of
      length 1 (Tung & Mori (SP), ICCV 2019), -4 to 0.

    The abstract of Auto-KD weights layers by training-free factors without a public formula; this
    one is ours. The relations are those of whole images with a class label, else of the positions
    of a grid over each image (:func:`positions`), on the proxy's first batches of 64 images.

    Args:
        student: as initialised; not changed. BatchNorm uses statistics of the batch, as in the
            first step.
        images: of the proxy.
        batch_size: of the proxy.
        seed: of what the student may draw.

    Raises:
        ConfigError: a factor is not a finite number, as with a teacher whose feature is the same
            for all images; names the layer.
    """
    kind = names.get('factors')
    if kind not in COMPUTED:
        return layers
    temperature = checked_temperature(names)
    if len(layers.pairs) == 1:
        return layers
    found = _features(layers.pairs, student, images, batch_size, seed)
    alike = [_similarity(str(kind), pair, *found[pair.name]) for pair in layers.pairs]
    shares = torch.softmax(torch.tensor(alike, dtype=torch.float64) / temperature, 0).tolist()
    # Six digits: what is printed, exported and trained with is the same number on every machine.
    rounded = [round(share, 6) for share in shares[:-1]]
    rounded.append(round(1 - math.fsum(rounded), 6))
    return replace(layers, pairs=tuple(replace(pair, factor=share)
                                       for pair, share in zip(layers.pairs, rounded)))


def _similarity(kind: str, pair: LayerPair, student: torch.Tensor,
                teacher: torch.Tensor) -> float:
    for who, feature in (('student', student), ('teacher', teacher)):
        spread = (feature - feature.mean(0)).norm()
        if not bool(torch.isfinite(spread)) or spread <= 1e-6 * feature.norm():
            what = 'the same for all images' if torch.isfinite(spread) else 'not finite'
            raise ConfigError(f'layers.factors={kind!r}: the feature of the {who} at '
                              f'{getattr(pair, who)!r} is {what}; leave the layer out, or give '
                              'factors as numbers')
    if kind == 'cka':
        return 1 - linear_cka_gap(student, teacher)
    grams = [F.normalize(flat @ flat.t(), dim=1) for flat in (student, teacher)]
    return -float((grams[0] - grams[1]).square().sum(1).mean())


@torch.no_grad()
def _features(pairs: Sequence[LayerPair], student: nn.Module, images: ProxyBatches,
              batch_size: int, seed: int) -> Dict[str, Tuple[torch.Tensor, torch.Tensor]]:
    """Samples x values of student and teacher, by name of the pair."""
    student = copy.deepcopy(student).to(images.device).train()
    sources = {pair.name: pair.student for pair in pairs}
    layouts = {pair.name: pair.student_layout for pair in pairs}
    modules = [find_layer(student, split_source(source)[0], 'layers.student')
               for source in sources.values()]
    parts: Dict[str, List[Tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in sources}
    with seeded_on(images.device, seed, 5):
        size = min(batch_size, len(images))
        for start in range(0, min(max(_IMAGES, size), len(images)) - size + 1, size):
            rows = np.arange(start, start + size)
            inputs, samples = images.inputs(student, rows, True)
            with capture(student, sources, layouts) as outputs, \
                    stop_when(modules, lambda: len(outputs) == len(sources)):
                student(inputs, mode='tensor')
            taught = images.of_teacher(sources, rows, inputs)
            for pair in pairs:
                heard = outputs[pair.name]
                if images.dense:
                    heard = torch.cat([on_grid(heard[i:i + 1], pair, inputs, sample)
                                       for i, sample in enumerate(samples)])
                parts[pair.name].append(
                    (_samples(heard, inputs, samples, images.dense),
                     _samples(taught[pair.name], inputs, samples, images.dense)))
    return {name: (torch.cat([one for one, _ in found]), torch.cat([other for _, other in found]))
            for name, found in parts.items()}


def _samples(feature: torch.Tensor, inputs: torch.Tensor, samples: Sequence[Any],
             dense: bool) -> torch.Tensor:
    if not dense:
        return feature.float().flatten(1)
    return torch.cat([positions(feature[i:i + 1], inside(feature, inputs, sample), _GRID)
                      for i, sample in enumerate(samples)])

"""The layers of both networks that are compared, found by running each once."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.layers import predictions
from autokd_mm.layers.capture import capture, find_layer
from autokd_mm.layers.cross_heads import with_cross_heads
from autokd_mm.layers.matching import (COARSEST, matched, needs_strides, refuse_unequal,
                                       unequal_strides)
from autokd_mm.layers.padding import tell_size
from autokd_mm.layers.tensors import Found, tensors_at
from autokd_mm.models.algorithms.teachers import each_teacher
from autokd_mm.models.connectors.layout import Layout
from autokd_mm.models.distillers import (LayerPair, Layers, checked_factors, pair_names,
                                         split_source, stop_when)

FACTORS = ('equal', 'cka', 'gram')
_KEYS = ('student', 'teacher', 'student_logits', 'teacher_logits', 'scores', 'factors',
         'factor_temperature', 'shared', *predictions.KEYS)
_LEVELS = 'levels'  # of layers.shared: the tensors of one name have the same options


def find_layers(model: BaseModel, student: nn.Module, names: Mapping[str, Any],
                pixels: torch.Tensor,
                samples: Optional[Sequence[Any]] = None, dense: bool = False,
                say: Callable[[str], None] = lambda line: None) -> Layers:
    """Run both networks once and read the shapes at the named layers.

    A module that returns several tensors, as a feature pyramid does, or is called several times,
    as a head's convolution is for each level, gives as many pairs. Where teacher and student have
    another number of them, those of equal stride are pairs and the others are left out.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
        names: ``student`` and ``teacher`` (the features), ``student_logits`` and
            ``teacher_logits`` (may be missing): each the name of a module or a list of names,
            with an index where one tensor of several is meant (``'neck[2]'``). ``scores`` of the
            student where it does not predict with its logits alone. ``factors`` as
            numbers are those of the pairs, otherwise all pairs have the same (until
            :func:`factors.weigh` has computed others). ``shared=False`` gives each pair of several
            options of its own, ``'levels'`` each name, whose tensors share them.
            ``student_predictions`` and ``teacher_predictions``: dense heads (see
            :mod:`autokd_mm.layers.heads`).
        pixels: B x C x H x W, uint8.
        samples: data samples of the images, for networks that look at them before the last of the
            layers.
        dense: images may differ in size. Maps are then known by their strides.
        say: told which tensors are left out.

    Raises:
        ConfigError: no such layer, another number of tensors in teacher and student and no two of
            an equal stride, an index out of range, teacher and student differ in classes, or a
            dense head is not understood.
    """
    wanted = _wanted(names)
    scaled = any(getattr(view, 'scale', None) for _, view in each_teacher(model))
    heads = predictions.read_heads(names, student, model.teacher, scaled)
    found: Dict[str, List[Found]] = {}
    said: Dict[str, List[Found]] = {}
    for who, network in (('student', student), ('teacher', model.teacher)):
        inputs = inputs_for(model, pixels, network is model.teacher)
        asked = {key: wanted[key] for key in (who, f'{who}_logits') if key in wanted}
        more = predictions.modules_of(heads[who == 'teacher'], who) if heads else {}
        heard = tensors_at(network, {**asked, **more}, inputs, samples, dense,
                           f'model.{"architecture" if network is student else "teacher"}')
        found.update((key, heard[key]) for key in asked)
        said.update((key, heard[key]) for key in more)
        if network is student and names.get('scores'):
            found.update(tensors_at(network, dict(scores=[names['scores']]), inputs, samples))
    if dense and needs_strides(found):
        found.update(_with_strides(model, student, wanted, pixels, samples, found))
    matched(found, wanted, say, dense)
    predictions.tell_of_reading(found.get('student_logits', ()), student, say)
    logits = _pairs('logits', found.get('student_logits', []), found.get('teacher_logits', []),
                    dense=dense)
    for pair in logits:
        _refuse_other_classes(pair)
    scores = found.pop('scores', None)
    if scores and (not logits or [item.shape for item in scores] != [logits[0].student_shape]):
        raise ConfigError(f'layers.scores: {names["scores"]!r} gives '
                          f'{" and ".join(str(item.shape) for item in scores)}; it must be one '
                          'tensor like layers.student_logits')
    pairs = _pairs('feature', found['student'], found['teacher'], names.get('factors'), dense)
    compared = with_cross_heads(predictions.predictions_of(heads, said, say), heads, names,
                                student, model.teacher) if heads else None
    groups = _groups(found['student'], pairs) if names.get('shared') == _LEVELS else ()
    return Layers(pairs, logits, names.get('scores'), _shared(names, pairs, groups), compared,
                  groups=groups)


def _wanted(names: Mapping[str, Any]) -> Dict[str, List[str]]:
    """The modules of features and logits that ``names`` of :func:`find_layers` lists, by key.

    Raises:
        ConfigError: an unknown key, one that is missing, or lists of unequal length.
    """
    for key in names:
        if key not in _KEYS:
            raise ConfigError(f'layers: {nearest(key, _KEYS)}')
    wanted: Dict[str, List[str]] = {}
    for who, other in (('student', 'teacher'), ('teacher', 'student')):
        if names.get(f'{who}_logits') and not names.get(f'{other}_logits'):
            raise ConfigError(f'layers.{other}_logits is missing: logits are compared with logits')
        if not names.get(who):
            raise ConfigError(f'layers.{who} is missing: name the module whose output is the '
                              'feature')
        for key in (who, f'{who}_logits'):
            if names.get(key):
                wanted[key] = _listed(names[key])
    refuse_unequal({key: len(sources) for key, sources in wanted.items()}, wanted, 'names')
    return wanted


def _with_strides(model: BaseModel, student: nn.Module, wanted: Mapping[str, Sequence[str]],
                  pixels: torch.Tensor, samples: Optional[Sequence[Any]],
                  found: Mapping[str, Sequence[Found]]) -> Dict[str, List[Found]]:
    """The same tensors with the strides that they have on a larger image, whose sides every usual
    stride divides: a small one does not tell a stride of 64 from one of 128."""
    height, width = (-side % COARSEST for side in pixels.shape[-2:])
    result: Dict[str, List[Found]] = {}
    for who, network in (('student', student), ('teacher', model.teacher)):
        keys = [key for key in (who, f'{who}_logits') if key in wanted]
        try:
            larger = tensors_at(network, {key: wanted[key] for key in keys}, F.pad(
                inputs_for(model, pixels, network is model.teacher), (0, width, 0, height)),
                                samples, True)
        except Exception:  # it takes images of one size only
            continue
        result.update({key: [one._replace(stride=other.stride) for one, other in
                             zip(found[key], larger[key])] for key in keys})
    return result


def _listed(value: Any) -> List[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _pairs(branch: str, student: Sequence[Found], teacher: Sequence[Found],
           factors: Any = None, dense: bool = False) -> Tuple[LayerPair, ...]:
    shares = [1 / len(student)] * len(student) if student else []
    if factors is not None and not isinstance(factors, str):
        if not isinstance(factors, (list, tuple)):
            raise ConfigError(f'layers.factors={factors!r}: must be one of {", ".join(FACTORS)} '
                              'or a list of numbers')
        shares = list(checked_factors(factors, len(student)))
    elif factors is not None and factors not in FACTORS:
        raise ConfigError(f'layers.factors: {nearest(factors, FACTORS)}')
    return tuple(
        LayerPair(name, s.source, t.source, s.shape, t.shape, share, s.calls, t.calls, s.layout,
                  t.layout, unequal_strides(s, t) if dense else None)
        for name, s, t, share in zip(pair_names(branch, len(student)), student, teacher, shares))


def _groups(found: Sequence[Found], pairs: Sequence[LayerPair]) -> Tuple[Tuple[str, ...], ...]:
    """Names of the pairs by the name in the config that stands for them."""
    places = [one.place for one in found]
    return tuple(tuple(pair.name for pair, own in zip(pairs, places) if own == place)
                 for place in sorted(set(places)))


def _shared(names: Mapping[str, Any], pairs: Sequence[LayerPair],
            groups: Sequence[Sequence[str]]) -> bool:
    shared = names.get('shared', True)
    if not isinstance(shared, bool) and shared != _LEVELS:
        raise ConfigError(f'layers.shared={shared!r}: must be True, False or {_LEVELS!r}')
    if shared is True:
        return True
    if len(pairs) == 1 or len(groups) == 1:
        raise ConfigError(f'layers.shared={shared!r} means something only for several '
                          f'{"names" if groups else "pairs"} of layers')
    for pair in pairs:
        if not pair.factor:
            raise ConfigError(f'layers.factors: 0 at {pair.student!r} leaves nothing to choose '
                              'there; leave the layer out')
    return False


def _refuse_other_classes(pair: LayerPair) -> None:
    student, teacher = pair.student_shape, pair.teacher_shape
    if student[0] != teacher[0]:
        raise ConfigError(f'model.teacher: the teacher has {teacher[0]} classes and the student '
                          f'{student[0]}; both must have the same')
    if student != teacher and pair.strides is None:
        raise ConfigError(f'layers.teacher_logits: the map at {pair.teacher!r} is '
                          f'{teacher[1]} x {teacher[2]} and that at {pair.student!r} is '
                          f'{student[1]} x {student[2]}; both must have the same size')


def inputs_for(model: BaseModel, pixels: torch.Tensor, teacher: bool) -> torch.Tensor:
    """uint8 images as a :class:`FrozenTeacherDistill` gives them to its student or teacher."""
    device = next(model.parameters()).device
    preprocessor = model.data_preprocessor
    # MMSegmentation's pads at test time only what has a list of samples.
    samples: Optional[List[Any]] = [] if getattr(preprocessor, 'test_cfg', None) else None
    inputs = preprocessor(dict(inputs=pixels.to(device), data_samples=samples),
                          training=False)['inputs']
    # Under a scale what is heard is as if there were none, see TeacherInput.as_unscaled.
    return model.to_teacher.unscaled(inputs) if teacher and model.to_teacher else inputs


@torch.no_grad()
def forward(network: nn.Module, layers: Mapping[str, str],
            inputs: torch.Tensor,
            samples: Optional[Sequence[Any]] = None,
            layouts: Optional[Mapping[str, Layout]] = None) -> Dict[str, torch.Tensor]:
    """Outputs of the named layers in evaluation mode; what is behind them does not run.

    Args:
        layers: role -> name of a layer, as :func:`find_layers` writes them (``'neck[2]'``).
        inputs: N x C x H x W, normalised.
        samples: data samples of the images, for networks that look at them.
        layouts: by role, of :meth:`Layers.layouts`.

    Raises:
        ConfigError: no such layer, or an index that it does not reach.
    """
    tell_size(samples, inputs)
    network.eval()
    modules = [find_layer(network, split_source(layer)[0], f'layers.{role}')
               for role, layer in layers.items()]
    with capture(network, layers, layouts) as outputs, \
            stop_when(modules, lambda: len(outputs) == len(layers)):
        network(inputs, *([] if samples is None else [samples]), mode='tensor')
    for role, layer in layers.items():
        if role not in outputs:
            raise ConfigError(f'layers.{role}: {layer!r} does not run in a forward pass')
    return {name: value.detach() for name, value in outputs.items()}

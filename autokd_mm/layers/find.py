"""The layers of both networks that are compared, found by running each once."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.layers.capture import as_map, capture, find_layer, map_shape, overwritten
from autokd_mm.models.connectors.tokens import extra_tokens_of
from autokd_mm.models.distillers import (LayerPair, Layers, checked_factors, pair_names,
                                         split_source, stop_when)
from autokd_mm.models.heads import BoxLogits

FACTORS = ('equal', 'cka', 'gram')
_KEYS = ('student', 'teacher', 'student_logits', 'teacher_logits', 'scores', 'factors',
         'factor_temperature', 'shared')


class _Found(NamedTuple):
    """A tensor: how it is named, its shape, whether its index counts calls."""
    source: str
    shape: Tuple[int, int, int]
    calls: bool
    tokens: Optional[int] = None


def find_layers(model: nn.Module, student: nn.Module, names: Mapping[str, Any],
                pixels: torch.Tensor,
                samples: Optional[Sequence[Any]] = None) -> Layers:
    """Run both networks once and read the shapes at the named layers.

    A module that returns several tensors, as a feature pyramid does, or is called several times,
    as a head's convolution is for each level, gives as many pairs.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
        names: ``student`` and ``teacher`` (the features), ``student_logits`` and
            ``teacher_logits`` (may be missing): each the name of a module or a list of names,
            with an index where one tensor of several is meant (``'neck[2]'``). ``scores`` of the
            student where it does not predict with its logits alone. ``factors`` as
            numbers are those of the pairs, otherwise all pairs have the same (until
            :func:`factors.weigh` has computed others). ``shared=False`` gives each pair of several
            options of its own.
        pixels: B x C x H x W, uint8.
        samples: data samples of the images, for networks that look at them before the last of the
            layers.

    Raises:
        ConfigError: no such layer, another number of tensors in teacher and student, an index out
            of range, or teacher and student differ in classes.
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
    _refuse_unequal({key: len(sources) for key, sources in wanted.items()}, wanted, 'names')
    found: Dict[str, List[_Found]] = {}
    for who, network in (('student', student), ('teacher', model.teacher)):
        inputs = inputs_for(model, pixels, network is model.teacher)
        found.update(_look(network, {key: wanted[key] for key in (who, f'{who}_logits')
                                     if key in wanted}, inputs, samples))
        if network is student and names.get('scores'):
            found.update(_look(network, dict(scores=[names['scores']]), inputs, samples))
    _refuse_unequal({key: len(tensors) for key, tensors in found.items()}, wanted, 'tensors')
    logits = _pairs('logits', found.get('student_logits', []), found.get('teacher_logits', []))
    for pair in logits:
        _refuse_other_classes(pair)
    scores = found.pop('scores', None)
    if scores and (not logits or [item.shape for item in scores] != [logits[0].student_shape]):
        raise ConfigError(f'layers.scores: {names["scores"]!r} gives '
                          f'{" and ".join(str(item.shape) for item in scores)}; it must be one '
                          'tensor like layers.student_logits')
    pairs = _pairs('feature', found['student'], found['teacher'], names.get('factors'))
    return Layers(pairs, logits, names.get('scores'), _shared(names, pairs))


def _listed(value: Any) -> List[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _refuse_unequal(counts: Mapping[str, int], names: Mapping[str, Sequence[str]],
                    what: str) -> None:
    """Teacher and student must have as many layers (or tensors) to compare."""
    for suffix in ('', '_logits'):
        student, teacher = (counts.get(f'{who}{suffix}', 0) for who in ('student', 'teacher'))
        if student != teacher:
            hint = ('each layer of the student is compared with the one at its place' if
                    what == 'names' else
                    "name those to compare, such as 'neck[0]' for the first level")
            shown = [', '.join(map(str, names[f'{who}{suffix}'])) for who in
                     ('student', 'teacher')]
            raise ConfigError(f'layers.teacher{suffix}: {teacher} {what} ({shown[1]}) and '
                              f'layers.student{suffix}: {student} {what} ({shown[0]}); {hint}')


def _pairs(branch: str, student: Sequence[_Found], teacher: Sequence[_Found],
           factors: Any = None) -> Tuple[LayerPair, ...]:
    shares = [1 / len(student)] * len(student) if student else []
    if factors is not None and not isinstance(factors, str):
        if not isinstance(factors, (list, tuple)):
            raise ConfigError(f'layers.factors={factors!r}: must be one of {", ".join(FACTORS)} '
                              'or a list of numbers')
        shares = list(checked_factors(factors, len(student)))
    elif factors is not None and factors not in FACTORS:
        raise ConfigError(f'layers.factors: {nearest(factors, FACTORS)}')
    return tuple(
        LayerPair(name, s.source, t.source, s.shape, t.shape, share, s.calls, t.calls, s.tokens,
                  t.tokens)
        for name, s, t, share in zip(pair_names(branch, len(student)), student, teacher, shares))


def _shared(names: Mapping[str, Any], pairs: Sequence[LayerPair]) -> bool:
    shared = names.get('shared', True)
    if not isinstance(shared, bool):
        raise ConfigError(f'layers.shared={shared!r}: must be True or False')
    if shared:
        return True
    if len(pairs) == 1:
        raise ConfigError('layers.shared=False means something only for several pairs of layers')
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
    if student != teacher:
        raise ConfigError(f'layers.teacher_logits: the map at {pair.teacher!r} is '
                          f'{teacher[1]} x {teacher[2]} and that at {pair.student!r} is '
                          f'{student[1]} x {student[2]}; both must have the same size')


@torch.no_grad()
def _look(network: nn.Module, names: Mapping[str, Sequence[str]], inputs: torch.Tensor,
          samples: Optional[Sequence[Any]]) -> Dict[str, List[_Found]]:
    """The tensors at the named layers, by the same keys."""
    calls: Dict[str, List[Any]] = {}
    versions: List[Tuple[str, torch.Tensor, int]] = []

    def keep(name: str) -> Any:

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            calls[name].append(output)
            versions.extend((name, tensor, tensor._version) for tensor in _several(output)
                            if isinstance(tensor, torch.Tensor))

        return hook

    handles = []
    for key, sources in names.items():
        for source in sources:
            name = split_source(source)[0]
            module = find_layer(network, name, f'layers.{key}')
            if name not in calls:
                calls[name] = []
                handles.append(module.register_forward_hook(keep(name)))
    network.eval()
    try:
        network(inputs, samples, mode='tensor')
    except ConfigError:
        raise
    except Exception:
        # A head may want more than images; it does not matter where nobody listens to it.
        if not all(calls.values()):
            raise
    finally:
        for handle in handles:
            handle.remove()
    for name, tensor, version in versions:
        if tensor._version != version:
            key = next(key for key, sources in names.items()
                       if name in [split_source(source)[0] for source in sources])
            raise overwritten(f'layers.{key}', name)
    return {key: [found for source in sources for found in _expand(
        f'layers.{key}', source, calls[split_source(source)[0]],
        _rows(network, split_source(source)[0], calls, len(inputs)),
        extra_tokens_of(network, split_source(source)[0]))] for key, sources in names.items()}


def _rows(network: nn.Module, name: str, calls: Mapping[str, Sequence[Any]], images: int) -> int:
    """Of a layer's output: one for each image, or as many as there are boxes."""
    boxes = isinstance(network.get_submodule(name), BoxLogits) and calls[name]
    return len(calls[name][0]) if boxes else images


def _expand(key: str, source: str, calls: Sequence[Any], images: int,
            extra_tokens: Optional[int]) -> List[_Found]:
    """All tensors that ``source`` stands for."""
    name, index = split_source(source)
    if not calls:
        raise ConfigError(f'{key}: {name!r} does not run in a forward pass')
    once = len(calls) == 1
    tensors = _several(calls[0]) if once else list(calls)
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            what = '' if once else f'runs {len(calls)} times and '
            raise ConfigError(f'{key}: {name!r} {what}returns a {type(tensor).__name__}, not one '
                              'tensor or a tuple of tensors')
        if len(tensor) == images and tensor.dim() == 3:
            continue  # a transformer's tokens
        if tensor.dim() not in (2, 4) or len(tensor) != images:
            raise ConfigError(f'{key}: {name!r} gives a tensor of shape {tuple(tensor.shape)} for '
                              f'{images} images; it must be N x C x H x W or N x D')
    if index is not None and index >= len(tensors):
        raise ConfigError(f'{key}: {source!r} is out of range, {name!r} gives {len(tensors)} '
                          f'tensor{"s" * (len(tensors) > 1)}, the last is '
                          f'{name + f"[{len(tensors) - 1}]"!r}')
    plain = once and isinstance(calls[0], torch.Tensor)
    picked = range(len(tensors)) if index is None else [index]
    whole = index is None and plain
    return [_Found(source if whole else f'{name}[{i}]',
                   map_shape(as_map(tensors[i], extra_tokens, key, name)),
                   not whole and (plain or not once),
                   extra_tokens if tensors[i].dim() == 3 else None) for i in picked]


def _several(output: Any) -> List[Any]:
    return list(output) if isinstance(output, (tuple, list)) else [output]


def inputs_for(model: nn.Module, pixels: torch.Tensor, teacher: bool) -> torch.Tensor:
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
            samples: Optional[Sequence[Any]] = None) -> Dict[str, torch.Tensor]:
    """Outputs of the named layers in evaluation mode; what is behind them does not run.

    Args:
        layers: role -> name of a layer, as :func:`find_layers` writes them (``'neck[2]'``).
        inputs: N x C x H x W, normalised.
        samples: data samples of the images, for networks that look at them.

    Raises:
        ConfigError: no such layer, or an index that it does not reach.
    """
    network.eval()
    modules = [find_layer(network, split_source(layer)[0], f'layers.{role}')
               for role, layer in layers.items()]
    with capture(network, layers) as outputs, \
            stop_when(modules, lambda: len(outputs) == len(layers)):
        network(inputs, *([] if samples is None else [samples]), mode='tensor')
    for role, layer in layers.items():
        if role not in outputs:
            raise ConfigError(f'layers.{role}: {layer!r} does not run in a forward pass')
    return {name: value.detach() for name, value in outputs.items()}

"""Which features of a network can be compared: ways to choose, the best one for a task first."""
from __future__ import annotations

import math
from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.models.distillers import split_source
from autokd_mm.zoo.listening import Heard, Map, identity, maps_of, root_of
from autokd_mm.zoo.logits import logits_of


class Way(NamedTuple):
    """One way to choose features, the same for both networks.

    Attributes:
        what: in words.
        find: the maps of one network.
        join: which of them are compared.
    """
    what: str
    find: Callable[[Heard], List[Map]]
    join: Callable[[List[Map], List[Map]], Tuple[List[Map], List[Map]]]


def levels(heard: Heard) -> List[Map]:
    """What the neck returns, without a level that is every second cell of the one before."""
    found = maps_of(heard, 'neck')
    return [one for number, one in enumerate(found)
            if not number or not _thinned(found[number - 1].tensor, one.tensor)]


def _thinned(finer: torch.Tensor, coarser: torch.Tensor) -> bool:
    thin = finer[..., ::2, ::2]
    return thin.shape == coarser.shape and bool(torch.equal(thin, coarser))


def outputs(heard: Heard) -> List[Map]:
    """What the backbone returns, or, where it is a wrapper around a network, what that does."""
    root = root_of(heard)
    inside = sorted((name for name in heard.said if name.startswith(f'{root}.')),
                    key=lambda name: name.count('.'))
    return maps_of(heard, root) or next(
        (maps for maps in (maps_of(heard, name) for name in inside) if len(maps) > 1), [])


def last_stage(heard: Heard) -> List[Map]:
    """The last map of the backbone, named by the stage that makes it where there is one; of a
    backbone that returns no map, as Conformer, that of its latest block."""
    own = maps_of(heard, root_of(heard))
    if not own:
        return _latest(heard)
    found = [one for one in _stages(heard) if one.stride == own[-1].stride]
    return found[-1:] if found and not _goes_on(heard, found[-1]) else own[-1:]


def _goes_on(heard: Heard, one: Map) -> bool:
    """Whether the backbone computes on behind a map, in modules that are neither in nor around
    the one that gives it: stages may say lists of maps, as HRNet's, of which none is the last."""
    name = split_source(one.source)[0]
    modules = dict(heard.network.named_modules())
    return any(
        said.order > heard.said[name].order and other.startswith(f'{root_of(heard)}.')
        and not other.startswith(f'{name}.') and not name.startswith(f'{other}.')
        and said.tensors[0].dim() > 2
        and any(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in modules[other].modules())
        for other, said in heard.said.items() if said.tensors)


def _latest(heard: Heard) -> List[Map]:
    """The last map of the block below the backbone that ends last."""
    below = [name for name, _ in sorted(heard.said.items(), key=lambda item: item[1].order)
             if name.startswith(f'{root_of(heard)}.') and name.count('.') <= 2
             and any(True for _ in heard.network.get_submodule(name).children())]
    return next((maps[-1:] for maps in (maps_of(heard, name) for name in below[::-1]) if maps), [])


def stages(heard: Heard) -> List[Map]:
    """The last stage of each stride, fine to coarse."""
    by_stride: Dict[float, Map] = {one.stride: one for one in _stages(heard) or outputs(heard)}
    return sorted(by_stride.values(), key=lambda one: one.stride)


def best_maps(heard: Heard) -> List[Map]:
    """Those of the neck, else of the backbone, else of its stages."""
    return levels(heard) or outputs(heard) or stages(heard)


def _stages(heard: Heard) -> List[Map]:
    """Maps of the modules that stand right below the backbone, in the order in which they end.
    A layer without modules of its own (a normalisation, an activation) is no stage."""
    root = root_of(heard)
    found = []
    for name, said in sorted(heard.said.items(), key=lambda item: item[1].order):
        below = name[len(root) + 1:].split('.') if name.startswith(root + '.') else []
        if said.plain and 1 <= len(below) <= 2 and any(
                True for _ in heard.network.get_submodule(name).children()):
            found += maps_of(heard, name)
    return found


def scored(heard: Heard) -> List[Map]:
    """What the last layer of a segmentor's head scores."""
    logits = logits_of(heard)
    if not logits:
        return []
    given = heard.said[logits].heard
    modules = dict(heard.network.named_modules())
    names = [name for name, said in heard.said.items()
             if said.plain and identity(said.tensors[0]) == given
             and said.order < heard.said[logits].order
             and not isinstance(modules[name], _DropoutNd)]  # in training it drops what is compared
    # The outermost block; where a head says its logits itself, as PIDNet's, the last layer before.
    blocks = [name for name in names if any(True for _ in modules[name].children())]
    names = blocks or sorted(names, key=lambda name: -heard.said[name].order)[:1]
    names.sort(key=lambda name: (name.count('.'), heard.said[name].order))
    return maps_of(heard, names[0]) if names else []


def by_stride(student: List[Map], teacher: List[Map]) -> Tuple[List[Map], List[Map]]:
    """Maps of equal stride. Where a stride is there several times, as behind dilated convolutions,
    the last map of it counts; as many maps that begin with the same stride are compared one by one,
    on the coarser grid."""
    if student and len(student) == len(teacher) and student[0].stride == teacher[0].stride:
        return student, teacher
    ours, theirs = ({one.stride: one for one in maps} for maps in (student, teacher))
    common = sorted(set(ours) & set(theirs))
    return [ours[one] for one in common], [theirs[one] for one in common]


def last(student: List[Map], teacher: List[Map]) -> Tuple[List[Map], List[Map]]:
    """The last of each, whatever its stride."""
    return (student[-1:], teacher[-1:]) if student and teacher else ([], [])


def nearest(student: List[Map], teacher: List[Map]) -> Tuple[List[Map], List[Map]]:
    """The two whose strides are nearest, of equal ones the deepest."""
    pairs = [(abs(math.log2(mine.stride / other.stride)), -at, -to)
             for at, mine in enumerate(student) for to, other in enumerate(teacher)]
    if not pairs:
        return [], []
    _, at, to = min(pairs)
    return [student[-at]], [teacher[-to]]


_LAST = Way('the last stage of the backbone', last_stage, last)
_STAGES = Way('the stages of the backbone', stages, by_stride)
_OUTPUTS = Way("the backbone's outputs", outputs, by_stride)
_DENSE = [Way('the levels of the neck', levels, by_stride), _OUTPUTS, _STAGES,
          Way('the maps of the nearest stride', best_maps, nearest)]
WAYS: Dict[str, List[Way]] = {
    LABEL: [_LAST, _STAGES],
    BOXES: _DENSE,
    SEGMENTATION: [Way("what the head's last layer scores", scored, last), *_DENSE],
}


def ways_for(kind: str, student: Heard, teacher: Heard) -> List[Way]:
    """The ways for a task, best first; of outputs and stages of a backbone what pairs more maps."""
    ways = list(WAYS[kind])
    if _OUTPUTS in ways and len(matched(_STAGES, student, teacher)[0]) > len(
            matched(_OUTPUTS, student, teacher)[0]) == 1:
        ways.remove(_STAGES)
        ways.insert(ways.index(_OUTPUTS), _STAGES)
    return ways


def matched(way: Way, student: Heard, teacher: Heard) -> Tuple[List[Map], List[Map]]:
    """Maps of both networks that are compared in this way, one by one; empty where none fit."""
    return way.join(way.find(student), way.find(teacher))


def unmatched(ways: List[Way], student: Heard, teacher: Heard) -> Iterator[str]:
    """What was compared in each way, and what differs, in words."""
    for way in ways:
        ours, theirs = (', '.join(f'{one.stride:g}' for one in way.find(heard)) or 'none'
                        for heard in (student, teacher))
        yield f"{way.what}: strides {ours} of the student and {theirs} of the teacher"

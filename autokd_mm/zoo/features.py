"""Which features of a network can be compared: ways to choose, the best one for a task first."""
from __future__ import annotations

from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

import torch

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.zoo.listening import Heard, Map, identity, maps_of, root_of
from autokd_mm.zoo.logits import logits_of


class Way(NamedTuple):
    """One way to choose features, the same for both networks.

    Attributes:
        what: in words.
        find: the maps of one network.
        one: only the last one counts, and may have any stride.
    """
    what: str
    find: Callable[[Heard], List[Map]]
    one: bool = False


def levels(heard: Heard) -> List[Map]:
    """What the neck returns, without a level that is every second cell of the one before."""
    found = maps_of(heard, 'neck')
    return [one for number, one in enumerate(found)
            if not number or not _thinned(found[number - 1].tensor, one.tensor)]


def _thinned(finer: torch.Tensor, coarser: torch.Tensor) -> bool:
    thin = finer[..., ::2, ::2]
    return thin.shape == coarser.shape and bool(torch.equal(thin, coarser))


def outputs(heard: Heard) -> List[Map]:
    """What the backbone returns."""
    return maps_of(heard, root_of(heard))


def last_stage(heard: Heard) -> List[Map]:
    """The last map of the backbone, named by the stage that makes it where there is one."""
    own = outputs(heard)
    found = [one for one in _stages(heard)
             if not own or one.tensor.shape[2:] == own[-1].tensor.shape[2:]]
    return found[-1:] or own[-1:]


def stages(heard: Heard) -> List[Map]:
    """The last stage of each stride, fine to coarse."""
    by_stride: Dict[Tuple[float, float], Map] = {one.stride: one for one in _stages(heard)}
    return sorted(by_stride.values(), key=lambda one: one.stride)


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
    names = [name for name, said in heard.said.items()
             if said.plain and identity(said.tensors[0]) == given
             and said.order < heard.said[logits].order
             and any(True for _ in heard.network.get_submodule(name).children())]
    names.sort(key=lambda name: (name.count('.'), heard.said[name].order))
    return maps_of(heard, names[0]) if names else []


WAYS: Dict[str, List[Way]] = {
    LABEL: [Way('the last stage of the backbone', last_stage, one=True),
            Way('the stages of the backbone', stages)],
    BOXES: [Way('the levels of the neck', levels),
            Way("the backbone's outputs", outputs),
            Way('the stages of the backbone', stages),
            Way('the last stage of the backbone', last_stage)],
    SEGMENTATION: [Way("what the head's last layer scores", scored),
                   Way('the levels of the neck', levels),
                   Way("the backbone's outputs", outputs),
                   Way('the stages of the backbone', stages),
                   Way('the last stage of the backbone', last_stage)],
}


def matched(way: Way, student: Heard, teacher: Heard) -> Tuple[List[Map], List[Map]]:
    """Maps of both networks that are compared in this way, one by one; empty where none fit.

    Equal strides are compared. Where a stride is there several times, as behind dilated
    convolutions, the last map of it counts, unless both networks have them alike.
    """
    ours, theirs = way.find(student), way.find(teacher)
    if way.one:
        return (ours[-1:], theirs[-1:]) if ours and theirs else ([], [])
    if [one.stride for one in ours] == [one.stride for one in theirs]:
        return ours, theirs
    mine = {one.stride: one for one in ours}
    other = {one.stride: one for one in theirs}
    common = sorted(set(mine) & set(other))
    return [mine[one] for one in common], [other[one] for one in common]


def unmatched(ways: List[Way], student: Heard, teacher: Heard) -> Iterator[str]:
    """What was compared in each way, and what differs, in words."""
    for way in ways:
        ours, theirs = (', '.join(f'{one.stride[0]:g}' for one in way.find(heard)) or 'none'
                        for heard in (student, teacher))
        yield f"{way.what}: strides {ours} of the student and {theirs} of the teacher"

"""What two dense heads have in common."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.heads import Head, read_head, tells_several_labels
from autokd_mm.layers.tensors import Found
from autokd_mm.models.distillers import LayerPair, Predictions, split_source
from autokd_mm.models.distillers.predictions import named
from autokd_mm.models.losses.levels import BOXES, CLASSES, QUALITY

KEYS = ('student_predictions', 'teacher_predictions')
_WHAT = (CLASSES, BOXES, QUALITY)
# Of MMDetection's dense heads; some say by them alone that classes are sigmoids.
_CLASS_LOSSES = ('loss_cls', 'loss_center_heatmap', 'loss_heatmap')


def read_heads(names: Mapping[str, Any], student: nn.Module, teacher: nn.Module,
               scaled: bool) -> Optional[Tuple[Head, Head]]:
    """The heads of the student and the teacher that a config names; ``None`` where it names none.

    Args:
        names: ``layers`` of the config.
        scaled: the teacher sees images at another scale.

    Raises:
        ConfigError: one of the two is missing or not understood, or they cannot be compared.
    """
    given: List[Any] = [names.get(key) for key in KEYS]
    if not any(given):
        return None
    for key, other in (KEYS, KEYS[::-1]):
        if not names.get(key):
            raise ConfigError(f'layers.{key} is missing: predictions are compared with '
                              f'predictions, and layers.{other} is {names[other]!r}')
        if not isinstance(names[key], str):
            raise ConfigError(f"layers.{key}={names[key]!r}: must be the name of a dense head, "
                              "such as 'bbox_head'")
    if scaled:
        raise ConfigError('layers.teacher_predictions: a teacher that sees the images at another '
                          'scale (model.teacher_input.scale) has its objects on other levels; '
                          'leave predictions or the scale out')
    heads = (read_head(student, given[0], f'layers.{KEYS[0]}'),
             read_head(teacher, given[1], f'layers.{KEYS[1]}'))
    _refuse_other_classes(*heads)
    _refuse_other_anchors(*heads)
    return heads


def tell_of_reading(logits: Sequence[Found], student: nn.Module,
                    say: Callable[[str], None]) -> None:
    """Logits of a dense head can be compared, as one distribution over all classes of all anchors,
    which sigmoids are not, and softmaxes of several anchors neither.

    Args:
        logits: what the student's layers gave.
    """
    for name, channels in {split_source(one.source)[0]: one.shape[0] for one in logits}.items():
        head = name.split('.')[0]
        found = _misread(getattr(student, head, None), channels)
        if found:
            say(f'layers.student_logits: the classes of {name!r} are {found}, and are read as one '
                f'softmax; {_instead(student, head)}')


def _misread(head: Optional[nn.Module], channels: int) -> Optional[str]:
    """What logits are that are no softmax over all their channels."""
    losses = [getattr(head, name, None) for name in _CLASS_LOSSES]
    if getattr(head, 'use_sigmoid_cls', False) or tells_several_labels(head) or any(
            getattr(loss, 'use_sigmoid', False) or type(loss).__name__ == 'GaussianFocalLoss'
            for loss in losses):
        return 'sigmoids'
    classes = getattr(head, 'cls_out_channels', None)
    if isinstance(classes, int) and channels > classes and channels % classes == 0:
        return f'those of {channels // classes} anchors'
    return None


def _instead(student: nn.Module, head: str) -> str:
    try:
        read_head(student, head, f'layers.{KEYS[0]}')
    except ConfigError:
        return 'leave the logits out to compare features alone'
    return f'layers.{KEYS[0]}={head!r} and layers.{KEYS[1]} compare them as they are'


def modules_of(head: Head, who: str) -> Dict[str, List[str]]:
    """What is to be listened to, by keys that no other layers have."""
    return {f'{who}_predictions.{what}': list(getattr(head, what)) for what in _WHAT
            if getattr(head, what)}


def predictions_of(heads: Tuple[Head, Head], found: Mapping[str, Sequence[Found]],
                   say: Callable[[str], None]) -> Predictions:
    """What both have in common, by the tensors that they gave.

    Args:
        found: by the keys of :func:`modules_of`.
        say: told what is left out.

    Raises:
        ConfigError: levels or anchors differ; names the shapes.
    """
    student, teacher = heads
    pairs = {what: _pairs(what, found) for what in _WHAT}
    _refuse_other_shapes(pairs['classes'], found)
    numbers = student.numbers
    anchors, rest = divmod(pairs['classes'][0].student_shape[0], numbers)
    if rest:
        raise ConfigError(f'layers.{KEYS[0]}: class maps of {pairs["classes"][0].student_shape[0]} '
                          f'channels are no multiple of {numbers} classes')
    coding = student.coding
    if coding is None or coding != teacher.coding or not pairs['boxes']:
        told = [f"{who}'s {head.kind} has " + (head.coding.in_words() if head.coding else
                                               'none that are understood')
                for who, head in (('student', student), ('teacher', teacher))]
        say(f'layers.{KEYS[1]}: no boxes are compared, the {told[0]}, the {told[1]}')
        coding, pairs['boxes'] = None, ()
    if student.objectness != teacher.objectness or not (student.quality and teacher.quality):
        if student.quality or teacher.quality:
            say(f'layers.{KEYS[1]}: no centerness or objectness is compared, {student.kind} and '
                f'{teacher.kind} have none in common')
        pairs['quality'] = ()
    return Predictions(pairs['classes'], numbers, anchors, student.exclusive, pairs['boxes'],
                       coding, pairs['quality'], student.objectness)


def _pairs(what: str, found: Mapping[str, Sequence[Found]]) -> Tuple[LayerPair, ...]:
    both = [found.get(f'{key}.{what}', ()) for key in KEYS]
    if len(both[0]) != len(both[1]):
        return ()
    return named(what, [LayerPair(what, s.source, t.source, s.shape, t.shape, 1.0, s.calls, t.calls)
                        for s, t in zip(*both)])


def _refuse_other_classes(student: Head, teacher: Head) -> None:
    told = [f'{head.kind} with {head.numbers} classes by '
            f'{"softmax" if head.exclusive else "sigmoid"}' for head in (student, teacher)]
    if (student.numbers, student.exclusive) != (teacher.numbers, teacher.exclusive):
        raise ConfigError(f'layers.{KEYS[1]}: the teacher\'s is a {told[1]} and the student\'s a '
                          f'{told[0]}; both must have the same')
    # Classes of a head with objectness say nothing where there is no object.
    if student.objectness != teacher.objectness:
        raise ConfigError(f'layers.{KEYS[1]}: a {teacher.kind} and a {student.kind} are not '
                          'comparable, only one of them has objectness')


def _refuse_other_anchors(student: Head, teacher: Head) -> None:
    """As many anchors of other sides are about other objects, and their deltas other boxes."""
    for level, (own, other) in enumerate(zip(student.anchors, teacher.anchors)):
        # The shapes of the maps tell where there are more of them.
        if own != other and len(own) == len(other):
            ours, theirs = next(both for both in zip(own, other) if both[0] != both[1])
            raise ConfigError(
                f"layers.{KEYS[1]}: an anchor of level {level} is {_corners(theirs)} in the "
                f"teacher's {teacher.kind} and {_corners(ours)} in the student's {student.kind}; "
                'both must have the same anchor_generator')


def _corners(anchor: Sequence[float]) -> str:
    return f'({", ".join(f"{side:g}" for side in anchor)})'


def _refuse_other_shapes(pairs: Sequence[LayerPair],
                         found: Mapping[str, Sequence[Found]]) -> None:
    if pairs and all(pair.student_shape == pair.teacher_shape for pair in pairs):
        return
    shown = [', '.join(' x '.join(map(str, one.shape)) for one in found[f'{key}.classes'])
             for key in KEYS]
    raise ConfigError(f'layers.{KEYS[1]}: class maps of the teacher are {shown[1]}, those of the '
                      f'student {shown[0]}; levels and anchors must be the same')

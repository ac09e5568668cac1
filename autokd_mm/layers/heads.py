"""What a dense head says: which of its modules give class maps, boxes, centerness, objectness."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.layers.capture import find_layer
from autokd_mm.models.losses.box_coding import BoxCoding
from autokd_mm.models.losses.levels import BOXES, CLASSES, QUALITY

Tails = Tuple[Tuple[str, ...], ...]


class Head(NamedTuple):
    """A dense head.

    Attributes:
        classes, boxes, quality: names of the modules that give these maps, in the order of the
            levels; one that is called for each level stands for all.
        numbers: classes of an anchor, with the background where they are exclusive.
        exclusive: they are (softmax).
        coding: of the boxes; ``None`` where nobody knows it.
        objectness: what ``quality`` is, and no centerness.
        kind: name of its class.
        anchors: by level the boxes that deltas are about, each (x1, y1, x2, y2) in pixels around
            its cell; empty where boxes need none.
        tails: of ``classes``, ``boxes`` and ``quality`` the modules that make them from the input
            of their tower's last convolution, by their names in the head: once for all levels, or
            for each; ``None`` where they are not known.
    """
    kind: str
    classes: List[str]
    numbers: int
    exclusive: bool
    boxes: Sequence[str] = ()
    coding: Optional[BoxCoding] = None
    quality: Sequence[str] = ()
    objectness: bool = False
    anchors: Tuple[Tuple[Tuple[float, ...], ...], ...] = ()
    tails: Optional[Mapping[str, Tails]] = None


def tells_several_labels(head: Any) -> bool:
    """Whether a classifier's head says yes or no of each class by itself."""
    return any(base.__name__ == 'MultiLabelClsHead' for base in type(head).__mro__)


def read_head(network: nn.Module, name: str, key: str) -> Head:
    """Understand the head ``name`` of a network.

    Heads are known by the methods that make their outputs, so that one of another name which
    inherits them is understood, and one that has its own is not.

    Args:
        key: of the config, for the message.

    Raises:
        ConfigError: there is no such module, or it is no head that is understood.
    """
    head = find_layer(network, name, key)
    whole, level, scores = (getattr(getattr(type(head), method, None), '__qualname__', '')
                            for method in ('forward', 'forward_single', 'cls_seg'))
    read = _KNOWN.get((whole, level)) or (_segmentor if scores == _SCORES else None)
    said = None if read is None else read(head)
    if said is not None:
        classes, boxes, quality = ([f'{name}.{one}' for one in ones]
                                   for ones in (said.classes, said.boxes, said.quality))
        return said._replace(classes=classes, boxes=boxes, quality=quality)
    raise ConfigError(f'{key}: {name!r} is a {type(head).__name__}, whose predictions are not '
                      f'understood; those of {", ".join(_NAMES)} are')


def _anchors(head: Any, classes: List[str], **values: Any) -> Head:
    return Head(type(head).__name__, classes, int(head.cls_out_channels),
                not head.use_sigmoid_cls, **values)


def _coded(head: Any) -> Optional[BoxCoding]:
    """Of boxes that are written as deltas to an anchor."""
    coder: Any = getattr(head, 'bbox_coder', None)
    if type(coder).__name__ != 'DeltaXYWHBBoxCoder' or getattr(coder, 'add_ctr_clamp', False):
        return None
    return BoxCoding('delta', coder.means, coder.stds)


def _around(head: Any) -> Tuple[Tuple[Tuple[float, ...], ...], ...]:
    levels = getattr(head.prior_generator, 'base_anchors', ())
    return tuple(tuple(tuple(round(side, 2) for side in anchor) for anchor in level.tolist())
                 for level in levels)


def _scales(head: Any) -> List[str]:
    """The boxes of these heads are known behind the factor of their level."""
    return [f'scales.{level}' for level in range(len(head.scales))]


def _tail(head: Any, tower: str, output: str) -> Tuple[str, ...]:
    """The last convolution of a tower, if it has any, and the one that gives the output."""
    last = len(getattr(head, tower)) - 1
    return (output, ) if last < 0 else (f'{tower}.{last}', output)


def _tails(head: Any, classes: str, boxes: str, quality: str = '',
           on: str = 'reg_convs') -> Dict[str, Tails]:
    """Of a head with a tower for classes and one for boxes.

    Args:
        classes, boxes, quality: the convolutions that give them.
        on: the tower of the quality.
    """
    behind = [(scale, ) for scale in _scales(head)] if hasattr(head, 'scales') else [()]
    tail = _tail(head, 'reg_convs', boxes)
    found = {CLASSES: (_tail(head, 'cls_convs', classes), ),
             BOXES: tuple((*tail, *scale) for scale in behind)}
    return dict(found, **({QUALITY: (_tail(head, on, quality), )} if quality else {}))


def _retina(head: Any) -> Head:
    return _anchors(head, ['retina_cls'], boxes=['retina_reg'], coding=_coded(head),
                    anchors=_around(head), tails=_tails(head, 'retina_cls', 'retina_reg'))


def _fcos(head: Any) -> Head:
    activation = 'relu' if head.norm_on_bbox else 'exp'
    tower = 'reg_convs' if head.centerness_on_reg else 'cls_convs'
    return _anchors(head, ['conv_cls'], boxes=_scales(head),
                    coding=BoxCoding('distance', activation=activation),
                    quality=['conv_centerness'],
                    tails=_tails(head, 'conv_cls', 'conv_reg', 'conv_centerness', tower))


def _gfl(head: Any) -> Head:
    return _anchors(head, ['gfl_cls'], boxes=_scales(head),
                    coding=BoxCoding('distribution', bins=head.reg_max + 1),
                    tails=_tails(head, 'gfl_cls', 'gfl_reg'))


def _atss(head: Any) -> Head:
    # PAA's and its heirs' says there how well a box fits, and no centerness.
    fit = any(base.__name__ == 'PAAHead' for base in type(head).__mro__)
    quality = '' if fit else 'atss_centerness'
    return _anchors(head, ['atss_cls'], boxes=_scales(head), coding=_coded(head),
                    quality=[quality] if quality else [], anchors=_around(head),
                    tails=_tails(head, 'atss_cls', 'atss_reg', quality))


def _yolox(head: Any) -> Head:
    classes, boxes, quality = (
        [f'multi_level_conv_{what}.{level}' for level in range(len(head.multi_level_conv_cls))]
        for what in ('cls', 'reg', 'obj'))
    # (dx, dy, log w, log h) in strides.
    return _anchors(head, classes, boxes=boxes, coding=BoxCoding('delta'), quality=quality,
                    objectness=True)


def _rtmdet(head: Any) -> Optional[Head]:
    if head.with_objectness:  # classes are mixed with it behind all modules
        return None
    # The factor of the level is behind the exponential.
    return _anchors(head, ['rtm_cls'], boxes=_scales(head), coding=BoxCoding('distance'))


def _rtmdet_sep_bn(head: Any) -> Optional[Head]:
    if head.with_objectness:
        return None
    levels = range(len(head.rtm_cls))
    activation = 'exp' if head.exp_on_reg else 'none'
    return _anchors(head, [f'rtm_cls.{level}' for level in levels],
                    boxes=[f'rtm_reg.{level}' for level in levels],
                    coding=BoxCoding('distance', activation=activation))


def _segmentor(head: Any) -> Optional[Head]:
    """One whose classes do not exclude one another; those of a softmax are ``student_logits``."""
    losses = head.loss_decode
    losses = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
    if not all(getattr(loss, 'use_sigmoid', False) for loss in losses):
        return None
    return Head(type(head).__name__, ['conv_seg'], int(head.out_channels), False)


# By the methods of a head that speak for all levels, and for one.
_KNOWN: Dict[Tuple[str, str], Callable[[Any], Optional[Head]]] = {
    ('AnchorHead.forward', 'RetinaHead.forward_single'): _retina,
    ('FCOSHead.forward', 'FCOSHead.forward_single'): _fcos,
    ('GFLHead.forward', 'GFLHead.forward_single'): _gfl,
    ('ATSSHead.forward', 'ATSSHead.forward_single'): _atss,
    ('YOLOXHead.forward', 'YOLOXHead.forward_single'): _yolox,
    ('RTMDetHead.forward', 'ATSSHead.forward_single'): _rtmdet,
    ('RTMDetSepBNHead.forward', 'ATSSHead.forward_single'): _rtmdet_sep_bn,
}
_SCORES = 'BaseDecodeHead.cls_seg'
_NAMES = ('RetinaHead', 'FCOSHead', 'GFLHead', 'ATSSHead', 'YOLOXHead',
          'RTMDetHead and RTMDetSepBNHead (without objectness)',
          'decode heads of segmentors whose losses have use_sigmoid=True (where classes are '
          'exclusive layers.student_logits are compared)')

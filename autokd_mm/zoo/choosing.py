"""What is compared between two networks, and why, with what else could be."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.engine.tracebacks import first_line
from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers
from autokd_mm.layers.heads import tells_several_labels
from autokd_mm.layers.predictions import KEYS, read_heads
from autokd_mm.models.distillers import Layers, disable_inplace
from autokd_mm.models.heads import share_boxes
from autokd_mm.space.handcrafted import starting_point
from autokd_mm.task.classes import heads
from autokd_mm.task.probe import refuse_unfit
from autokd_mm.task.spaces import space_over
from autokd_mm.zoo import features
from autokd_mm.zoo.kinds import WORDS
from autokd_mm.zoo.listening import Heard, Map
from autokd_mm.zoo.logits import DISTILLED, class_layers, distillation_token, logits_of
from autokd_mm.zoo.looking import Looked
from autokd_mm.zoo.sizing import Proxy

BOXES_SHARED = 64
_SHARED_LOGITS = 'roi_head.shared_logits'
# The methods that are tried first, as in the configs that come with the package.
_METHODS = {
    LABEL: ['KD', 'DIST', 'AT', 'SP', 'ICKD', 'PKD'],
    BOXES: ['PKD', 'FGD-focal', 'BCKD', 'FKD', 'MGD', 'CWD', 'ICKD', 'KD'],
    SEGMENTATION: ['CWD', 'DIST', 'AT', 'ICKD', 'PKD', 'MGD'],
}


class Choice(NamedTuple):
    """What a pair compares.

    Attributes:
        names: ``layers`` of the search.
        layers: the same as they were found.
        shared_boxes: of two detectors with RoI heads, else ``None``.
        methods: hand-crafted ones that fit.
        left_out: others of the task, with the reason.
        why: reasons, a line each.
        runners_up: what else could be compared, a line each.
    """
    names: Dict[str, Any]
    layers: Layers
    shared_boxes: Optional[int]
    methods: List[str]
    left_out: List[str]
    why: List[str]
    runners_up: List[str]


def choose(looked: Looked, proxy: Proxy) -> Choice:
    """The first way to choose features that fits both networks, and logits where there are any.

    Raises:
        ConfigError: nothing fits; says what was compared and what differs.
    """
    student, teacher = looked.heard
    if looked.kind == looked.teacher_kind:
        _refuse_other_classes(looked)
    why: List[str] = []
    runners_up: List[str] = []
    logits = _logits(looked, why, runners_up)
    ways = features.ways_for(looked.kind, student, teacher)
    chosen: Optional[Choice] = None
    refused = ''
    for way in ways:
        ours, theirs = features.matched(way, student, teacher)
        if not ours:
            continue
        names = _names(looked, ours, theirs)
        line = _in_words(way, names, ours, theirs)
        if chosen is not None:
            if names['student'] != chosen.names['student']:
                runners_up.append(line)
            continue
        try:
            chosen = _first_that_fits(looked, proxy, names, logits, why)
        except ConfigError as error:
            refused = refused or f'{way.what}: {error}'
            runners_up.append(f'not {way.what}: {error}')
            continue
        why.insert(0, f'features: {line}')
    if chosen is None:
        raise ConfigError('TEACHER: no layers can be paired; ' + (refused or '; '.join(
            features.unmatched(ways, student, teacher))))
    return chosen._replace(why=why, runners_up=runners_up)


def _first_that_fits(looked: Looked, proxy: Proxy, names: Dict[str, Any], said: Dict[str, Any],
                     why: List[str]) -> Choice:
    """Features with what the heads say; without predictions where levels or anchors differ.

    Raises:
        ConfigError: the features do not fit.
    """
    try:
        choice = _checked(looked, proxy, dict(names, **said))
    except ConfigError as error:
        if KEYS[0] not in said:
            raise
        choice = _checked(looked, proxy, names)
        why.append(f'predictions: none, {error}')
        return choice
    if choice.layers.predictions is not None:
        why.append(f'predictions: {choice.layers.predictions.in_words()}')
    return choice


def _refuse_other_classes(looked: Looked) -> None:
    student, teacher = (dict(heads(heard.network)) for heard in looked.heard)
    ours, theirs = set(student.values()), set(teacher.values())
    if ours and theirs and not ours & theirs:
        raise ConfigError(
            f'TEACHER: its heads tell {_listed(theirs)} classes apart and those of the student '
            f'{_listed(ours)} ({", ".join(teacher)} and {", ".join(student)} were compared); both '
            'must have the same')


def _listed(numbers: Any) -> str:
    return ' and '.join(map(str, sorted(numbers)))


def _names(looked: Looked, ours: List[Map], theirs: List[Map]) -> Dict[str, Any]:
    """``student`` and ``teacher`` of ``layers``: each a module by its name where all that it gives
    counts, else as many names as there are maps."""
    whole = [_whole(heard, maps) for heard, maps in zip(looked.heard, (ours, theirs))]
    if not all(whole):
        sources = [[one.source for one in maps] for maps in (ours, theirs)]
        whole = sources if len(ours) > 1 else [one[0] for one in sources]  # type: ignore
    return dict(student=whole[0], teacher=whole[1])


def _whole(heard: Heard, maps: List[Map]) -> Optional[str]:
    modules = {one.source.partition('[')[0] for one in maps}
    name = modules.pop()
    return name if not modules and len(heard.said[name].tensors) == len(maps) else None


def _in_words(way: features.Way, names: Dict[str, Any], ours: List[Map],
              theirs: List[Map]) -> str:
    mine, other = _described(names['student'], ours), _described(names['teacher'], theirs)
    return f'{way.what}: {mine} ' + (
        'in both' if mine == other else f'with {other} of the teacher')


def _described(names: Any, maps: List[Map]) -> str:
    if isinstance(names, list):
        first, last = names[0], names[-1]
        names = f'{first} to {last}'
    strides, channels = (', '.join(dict.fromkeys(f'{value:g}' for value in values)) for values in (
        [one.stride for one in maps], [one.channels for one in maps]))
    return f'{names} (stride {strides}; {channels} channels)'


def _logits(looked: Looked, why: List[str], runners_up: List[str]) -> Dict[str, Any]:
    """``student_logits``, ``teacher_logits`` and ``scores``; empty where there are none."""
    student, teacher = looked.heard
    if looked.kind != looked.teacher_kind:
        why.append(f'logits: none, the teacher is {WORDS[looked.teacher_kind]} and the student '
                   f'{WORDS[looked.kind]}; it teaches features alone')
        return {}
    if looked.kind == BOXES:
        return _of_boxes(looked, why, runners_up)
    if any(tells_several_labels(getattr(heard.network, 'head', None)) for heard in looked.heard):
        why.append('logits: none, the classes of a multi-label head are not exclusive')
        return {}
    token = distillation_token(student)
    ours, theirs = DISTILLED if token else logits_of(student), logits_of(teacher)
    if not ours or not theirs:
        silent = [(name, heard) for name, heard, found in
                  (('student', student, ours), ('teacher', teacher, theirs)) if not found]
        broken = [(name, heard.size, heard.error) for name, heard in silent
                  if heard.error is not None]
        for name, size, error in broken:
            why.append(f'logits: none, the {name} did not come to its end on an image of '
                       f'{_times(size)}: {first_line(error)}')
        if not broken:
            who = ' and '.join(name for name, _ in silent)
            why.append(f'logits: none, no layer of the {who} gives, as one tensor, what the '
                       'network returns')
        return {}
    sizes = [tuple(heard.said[name].tensors[0].shape[1:])
             for heard, name in zip(looked.heard, (ours, theirs))]
    place = -1 if len(sizes[0]) == 2 else 0  # of the classes: tokens, or maps
    if sizes[0] != sizes[1] and not (looked.kind != LABEL and len(sizes[0]) == len(sizes[1])
                                     and sizes[0][place] == sizes[1][place]):
        why.append(f'logits: none, {ours} gives {_times(sizes[0])} and {theirs} of the teacher '
                   f'{_times(sizes[1])}')
        return {}
    why.append(f'logits: {ours} with {theirs} of the teacher, {sizes[0][place]} classes' +
               (f'; {token} predicts' if token else ''))
    found = dict(student_logits=ours, teacher_logits=theirs)
    return dict(found, scores=token) if token else found


def _of_boxes(looked: Looked, why: List[str], runners_up: List[str]) -> Dict[str, Any]:
    student, teacher = (heard.network for heard in looked.heard)
    try:
        for network in (student, teacher):
            share_boxes(network, BOXES_SHARED)
    except ConfigError as error:
        reason = str(error).partition(': ')[2].partition(', it must')[0]
        why.append(f'logits: none, {reason}; boxes of two networks are compared where a '
                   'StandardRoIHead judges those of the teacher')
        heads = dict.fromkeys(KEYS, 'bbox_head')
        if not (hasattr(student, 'bbox_head') and hasattr(teacher, 'bbox_head')):
            return {}  # not both have a dense head
        try:
            read_heads(heads, student, teacher, False)
            return heads
        except ConfigError as refused:
            why.append(f'predictions: none, {refused}')
        ours, theirs = map(class_layers, looked.heard)
        names = [name for name, channels in ours.items() if theirs.get(name) == channels]
        if names:
            runners_up.append(
                f'logits of a dense head: student_logits and teacher_logits = '
                f'{names if len(names) > 1 else repr(names[0])} ({ours[names[0]]} channels; their '
                'sigmoids would be read as one distribution)')
        return {}
    why.append(f"logits: both RoI heads on the teacher's {BOXES_SHARED} best proposals of an image")
    return dict(student_logits=_SHARED_LOGITS, teacher_logits=_SHARED_LOGITS)


def _times(shape: Any) -> str:
    return ' x '.join(map(str, shape))


def _checked(looked: Looked, proxy: Proxy, names: Dict[str, Any]) -> Choice:
    """What a search will find at these layers.

    Raises:
        ConfigError: it would refuse them.
    """
    model = looked.model
    disable_inplace(model.architecture)
    try:
        layers = find_layers(model, model.architecture, names, looked.pixels, looked.samples,
                             looked.kind != LABEL)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f'{names}: {first_line(error)}') from None
    refuse_unfit(layers, looked.kind, proxy.settings)
    space = space_over(layers, looked.kind, proxy.settings.batch_size, {}, lambda line: None)
    fits, left_out = [], []
    for method in _METHODS[looked.kind]:
        spec = starting_point(method, space)
        try:
            space.params(spec)
            fits.append(method)
        except ValueError:
            reason = 'there are no logits' if spec.has_logits else \
                'the maps are too small' if spec.has_feature else \
                'no dense heads are compared' if layers.predictions is None else \
                'the dense heads have not all in common'
            left_out.append(f'{method}, for which {reason}')
    shared = BOXES_SHARED if names.get('student_logits') == _SHARED_LOGITS else None
    return Choice(names, layers, shared, fits, left_out, [], [])

"""Whether networks and data set speak of the same classes, before anything is trained."""
from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from mmengine.logging import print_log
from torch import nn

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.algorithms.bare_teacher import predicts_as
from autokd_mm.models.algorithms.teacher import trained_on
from autokd_mm.models.algorithms.teachers import Teachers, each_teacher

# Heads that count stuff apart from things (mmdet), or tell edges from the rest (mmseg's STDC), and
# heads made from them (SCNet).
_OTHERS = ('FusedSemanticHead', 'STDCHead')
_STUFF = 'num_stuff_classes'


def check_teachers(model: Any, dataset: Any) -> None:
    """Refuse teachers whose heads are for other classes than the data set's, or in another order.

    Args:
        model: a :class:`FrozenTeacherDistill`.
        dataset: of the training images.

    Raises:
        ConfigError: another number of classes.
        CheckpointError: one that was trained on the classes in another order.
    """
    several = isinstance(model.teacher, Teachers)
    for number, (teacher, _) in enumerate(each_teacher(model)):
        if not predicts_as(teacher, model.student):
            continue  # its classes are those of another task
        check_heads(teacher, dataset,
                      f'model.teacher.teachers[{number}]' if several else 'model.teacher')
        key = f'teacher_ckpt{f"[{number}]" if several else ""}'
        differs = other_order(teacher, dataset)
        if differs:
            raise CheckpointError(f'{key}: {differs}')
        strange = other_names(teacher, dataset)
        if strange:
            print_log(f'{key}: {strange}', 'current', logging.WARNING)


def check_heads(network: nn.Module, dataset: Any, key: str) -> None:
    """Refuse heads for another number of classes than the data set has.

    Where a data set does not name its classes, its labels are looked at.

    Args:
        key: of the network in the config.

    Raises:
        ConfigError: names the head.
    """
    named, labels = classes_of(dataset), None
    for name, number in heads(network):
        if named is not None:
            if number != len(named):
                raise ConfigError(f'{key}.{name}.num_classes={number}: {type(dataset).__name__} '
                                  f'has {len(named)} classes ({_short(named)})')
            continue
        labels = _largest_label(dataset) if labels is None else labels
        if labels >= number:
            raise ConfigError(f'{key}.{name}.num_classes={number}: {type(dataset).__name__} has '
                              f'labels up to {labels}, so it must be at least {labels + 1}')


def heads(network: nn.Module) -> Iterator[Tuple[str, int]]:
    """Name and number of classes of each head that tells the data set's classes apart."""
    for name, module in network.named_modules():
        parts = [part for part in name.split('.') if not part.isdigit()]
        number = getattr(module, 'num_classes', None)
        if (parts and parts[-1].endswith('head') and 'rpn_head' not in parts
                and isinstance(number, int) and not isinstance(number, bool) and number > 0
                and not any(base.__name__ in _OTHERS for base in type(module).__mro__)
                and not hasattr(module, _STUFF)):
            yield name, number


def classes_of(dataset: Any) -> Optional[Sequence[str]]:
    """The names of a data set's classes, ``None`` where it does not say."""
    found = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return [str(name) for name in found] if isinstance(found, (list, tuple)) and found else None


def check_same_classes(training: Any, other: Any, key: str) -> None:
    """Refuse a data set in which a class of the training images has another number: every metric on
    it would be of other classes.

    Args:
        training: the data set of the training images.
        other: that of validation, say.
        key: of the other one in the config.

    Raises:
        ConfigError: names the first class that differs.
    """
    there, here = ([name.casefold() for name in classes_of(one) or ()]
                   for one in (training, other))
    for name, before, now in _moved(there, here):
        raise ConfigError(
            f'{key}: class {name!r} is number {now} there ({_short(here)}) and number {before} in '
            f'train_dataloader ({_short(there)}); give both the same classes (metainfo.classes)')


def other_order(teacher: nn.Module, dataset: Any) -> str:
    """What is wrong where a teacher's checkpoint knows one of the data set's classes under another
    number, else ''."""
    there, here = _both(teacher, dataset)
    for name, before, now in _moved(there, here):
        return (f'it was trained on classes in another order: {name!r} is class {before} there and '
                f'class {now} of {type(dataset).__name__}; '
                "give the data set's metainfo that order, or train anew")
    return ''


def _moved(there: Sequence[str], here: Sequence[str]) -> Iterator[Tuple[str, int, int]]:
    """Classes with their numbers in two lists, where these differ. ImageNet has two cranes: of a
    name that stands twice nobody knows which is which."""
    once, numbers = Counter(there), Counter(here)
    for number, name in enumerate(here):
        if once[name] == numbers[name] == 1 and there.index(name) != number:
            yield name, there.index(name), number


def other_names(teacher: nn.Module, dataset: Any) -> str:
    """What is strange where a teacher's checkpoint names its classes and none is the data set's,
    else ''."""
    there, here = _both(teacher, dataset)
    if not there or not here or set(there) & set(here):
        return ''
    return (f'it was trained on other classes ({_short(there)}) than {type(dataset).__name__} has '
            f'({_short(here)}); its logits say nothing of these, unless they are the same under '
            'other names')


def _both(teacher: nn.Module, dataset: Any) -> Tuple[List[str], List[str]]:
    """The classes of a teacher's checkpoint and of the data set, without upper case; empty where
    they are not known."""
    there, here = ([name.casefold() for name in one or ()]
                   for one in (trained_on(teacher), classes_of(dataset)))
    return there, here


def _largest_label(dataset: Any) -> int:
    try:
        return int(max(dataset.get_gt_labels()))
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError):
        return -1  # several labels for an image, or a data set that does not tell


def _short(names: Sequence[str]) -> str:
    shown = ', '.join(names[:4]) + (' ...' if len(names) > 4 else '')
    return re.sub(r'\s+', ' ', shown)

"""What a search tells of itself to those who read its study later; nothing of it is searched with.

All of it may be missing: studies of earlier versions have none.
"""
from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Optional

from optuna.study import Study

_ABOUT, _SPENT = 'about', 'spent'


def set_about(study: Study, about: Mapping[str, Any]) -> None:
    """What the search is about.

    Args:
        about: JSON values. ``final``: weights of its ``reward``, ``seeds``, parameters of the
            ``handcrafted``. ``full``: ``samples`` and ``words`` of the full training, None where it
            has no length. ``samples`` of a run on the proxy, and ``held_out`` images on which it is
            measured. ``layers``: ``name``, ``student``,
            ``teacher`` and their shapes. ``networks``: ``name`` and ``parameters`` of ``student``
            and ``teacher``. ``data``: the training images, in words. ``differences`` between proxy
            and full training. ``sampler``. ``config``: its file in the work dir. ``packages``:
            versions by name. ``machine``: in words.
    """
    if study.user_attrs.get(_ABOUT) != about:
        study.set_user_attr(_ABOUT, dict(about))


def get_about(study: Study) -> Dict[str, Any]:
    return study.user_attrs.get(_ABOUT) or {}


def task_name(about: Mapping[str, Any]) -> Optional[str]:
    """What tells the task of a search from others, short and without a space; ``None`` of an old
    study: teacher and student, each with its size, and the training images, such as
    ``cifarresnet8-301k_cifarresnet8-5k_digits-1000``. The proxy has no part in it: one task may be
    searched with several."""
    try:
        networks = [about['networks'][one] for one in ('teacher', 'student')]
        data, images = re.findall(r'\w+', about['data'].replace(',', ''))[:2]
        parts = [one['name'].replace(' of depth ', '')
                 + f'-{max(1, round(one["parameters"] / 1e3))}k' for one in networks]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return '_'.join([*parts, f'{data}-{images}']).lower()


def add_spent(study: Study, seconds: Mapping[str, float]) -> None:
    """Add to what was spent before the first trial, in seconds by ``'teacher'`` and ``'bank'``.

    A worker that finds both ready spends next to nothing.
    """
    spent = get_spent(study)
    added = {name: round(spent.get(name, 0.0) + value, 1) for name, value in seconds.items()}
    if added != spent:
        study.set_user_attr(_SPENT, added)


def get_spent(study: Study) -> Dict[str, float]:
    return study.user_attrs.get(_SPENT) or {}

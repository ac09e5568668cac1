"""From the forms in which MMRazor writes a distillation to the one that the rest reads."""
from __future__ import annotations

import logging
from typing import Any, Iterator

from mmengine.logging import print_log

from autokd_mm.errors import ConfigError
from autokd_mm.pairs.cfg_path import expand, use_new_names
from autokd_mm.pairs.images import KEY, preprocessor_of, settle

OURS = 'mmrazor.FrozenTeacherDistill'
_OF_MMRAZOR = ('SingleTeacherDistill', 'FpnTeacherDistill')
_DISTRIBUTED = ('DataFreeDistillation', 'DAFLDataFreeDistillation')


def read_forms(config: Any, say: Any = None) -> None:
    """Bring ``config`` to plain networks with the ``data_preprocessor`` where it belongs, in place.

    What is plain already stays as it is. A search config gets our algorithm in the place of
    MMRazor's, see :func:`as_frozen`.

    Args:
        say: told in one line what was read in another way than it stands there.

    Raises:
        ConfigError: a network that cannot be found, or an algorithm that cannot be searched.
    """
    if use_new_names(config._cfg_dict if hasattr(config, '_cfg_dict') else config):
        _say('mmcls is read as mmpretrain, as the package is called now', say)
    _loops_out_of_scope(config)
    if not isinstance(config.get('model'), dict):
        return
    config['model'] = expand(config['model'])
    _keep_in_scope(config['model'])
    top, own = config.get(KEY), preprocessor_of(config) or {}
    if top and 'architecture' in config['model'] and not config['model'].get(KEY) \
            and dict(top) != {name: value for name, value in own.items() if name in top}:
        _say(f"{KEY}: the student's own is used and not this one at the top of the config", say)
    settle(config)
    if is_search(config):
        as_frozen(config, say)
        refuse_untrained_student(config['model'])


def _loops_out_of_scope(config: Any) -> None:
    """Let a loop that names its package, of a base such as ``mmrazor::distill/...``, build datasets
    where the config has its own: MMEngine marks all of a base with the scope it came from."""
    for key in ('train_cfg', 'val_cfg', 'test_cfg'):
        loop = config.get(key)
        if isinstance(loop, dict) and '.' in str(loop.get('type')):
            loop.pop('_scope_', None)


def _keep_in_scope(model: Any) -> None:
    """Let a network whose types all name their package look there for what it builds besides.

    Under an algorithm's ``_scope_`` a classifier would ask MMRazor for its preprocessor.
    """
    if not model.get('_scope_'):
        return
    for key in ('architecture', 'teacher'):
        network = model.get(key)
        if isinstance(network, dict) and not network.get('_scope_'):
            scopes = {str(kind).partition('.')[0] if '.' in str(kind) else ''
                      for kind in _types(network)}
            if len(scopes) == 1 and scopes != {''}:
                network['_scope_'] = scopes.pop()


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if 'type' in node:
            yield node['type']
        node = list(node.values())
    for item in node if isinstance(node, (list, tuple)) else ():
        yield from _types(item)


def refuse_without_launcher(config: Any, launcher: str) -> None:
    """Raises:
        ConfigError: an algorithm of MMRazor that reaches for what only a distributed wrapper has.
    """
    kind = kind_of(config.get('model') or {})
    if launcher == 'none' and kind in _DISTRIBUTED:
        raise ConfigError(f'model.type: a {kind} of MMRazor trains in several processes or one of '
                          'a launcher only; use tools/dist_train.sh CONFIG GPUS')


def is_search(config: Any) -> bool:
    return 'SearchLoop' in str((config.get('train_cfg') or {}).get('type'))


def kind_of(model: Any) -> str:
    """The name of an algorithm without its scope."""
    return str(model.get('type')).split('.')[-1]


def as_frozen(config: Any, say: Any = None) -> None:
    """Let MMRazor's algorithms with one teacher be our :class:`FrozenTeacherDistill`, in place:
    the same losses, of a teacher that is in evaluation mode and in no checkpoint.

    Raises:
        ConfigError: the teacher is to be trained.
    """
    model = config['model']
    if kind_of(model) not in _OF_MMRAZOR:
        return
    if model.get('teacher_trainable'):
        raise ConfigError(f'model.teacher_trainable: {OURS}, as which a {kind_of(model)} is read '
                          'here, never trains its teacher; set it to False, or train with '
                          'tools/train.py and without a bank')
    _say(f'model.type: {model["type"]} is read as {OURS}, whose teacher is frozen', say)
    model['type'] = OURS
    for key in ('teacher_norm_eval', 'teacher_trainable'):
        model.pop(key, None)


def refuse_untrained_student(model: Any) -> None:
    """Raises:
        ConfigError: candidates of a search would not learn what the undistilled student learns.
    """
    for key in ('student_trainable', 'calculate_student_loss'):
        if not model.get(key, True):
            raise ConfigError(f'model.{key}=False: a search compares distilled students with one '
                              'that learns from the labels alone, so they learn from them, too; '
                              'leave it out')


def _say(line: str, say: Any) -> None:
    if say is not None:
        say(line)
    else:
        print_log(line, level=logging.INFO)

"""Networks that a config names by the config of another package (``cfg_path``)."""
from __future__ import annotations

import copy
import importlib.util
import logging
import os
from difflib import get_close_matches
from typing import Any, Iterator, List, Tuple

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE, _get_cfg_metainfo
from mmengine.logging import print_log

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.pairs.images import listed, several

# MMClassification is called MMPretrain since its version 1.0.
RENAMED = dict(mmcls='mmpretrain')
_RENAMED_TYPES = dict(PackClsInputs='PackInputs')


def use_new_names(node: Any) -> bool:
    """Let every scope, type and path below ``node`` name a package as it is called now, in place.

    Returns:
        Whether there was an old name.
    """
    found = False
    for key, value in _items(node):
        if isinstance(value, str):
            new = _new_name(key, value)
            if new != value:
                node[key], found = new, True
        else:
            found = use_new_names(value) or found
    return found


def _new_name(key: Any, value: str) -> str:
    for old, new in RENAMED.items():
        if value == old and key in ('_scope_', 'default_scope'):
            return new
        if value.startswith((f'{old}.', f'{old}::')):
            value = new + value[len(old):]
    scope, dot, kind = value.rpartition('.')
    if key == 'type' and kind in _RENAMED_TYPES and scope in ('', *RENAMED.values()):
        return scope + dot + _RENAMED_TYPES[kind]
    return value


def expand(model: Any, key: str = 'model') -> Any:
    """``model`` with every network in it that has a ``cfg_path`` as the plain config behind it.

    As the training with that config builds it: a ``data_preprocessor`` at its top is the network's
    where the network has none (``mmengine.hub.get_model`` takes the top one always). Further keys
    fill what the config leaves out. ``pretrained=True`` becomes
    the ``teacher_ckpt`` of a teacher that has none, and an ``init_cfg`` of any other network.

    Args:
        model: changed in place, but for ``model`` itself.
        key: of ``model`` in its config, for messages.

    Raises:
        ConfigError: no such package, no such config in it, or no weights for it.
    """
    if isinstance(model, dict) and model.get('cfg_path') and not model.get('type'):
        return _network(model, key)
    published = _published(model)
    for name, value in _items(model):
        if isinstance(value, (dict, list)):
            below = f'{key}[{name}]' if isinstance(name, int) else f'{key}.{name}'
            model[name] = expand(value, below)
    if any(published):
        _name_checkpoints(model, published)
    return model


def _items(node: Any) -> Iterator[Tuple[Any, Any]]:
    if isinstance(node, dict):
        return iter(list(node.items()))
    return iter(list(enumerate(node)) if isinstance(node, list) else [])


def _network(wanted: Any, key: str) -> Any:
    wanted = copy.deepcopy(wanted)
    path, pretrained = wanted.pop('cfg_path'), wanted.pop('pretrained', False)
    package, folder, file = find(path, f'{key}.cfg_path')
    config = Config.fromfile(file)
    package = package or config.get('default_scope')
    use_new_names(config._cfg_dict)
    network = config.get('model')
    if not isinstance(network, dict):
        raise ConfigError(f'{key}.cfg_path: {path} is the config of no model')
    if config.get('data_preprocessor'):  # of a training: what the model has itself counts
        network.setdefault('data_preprocessor', config['data_preprocessor'])
    for name, value in wanted.items():
        if network.setdefault(name, value) != value and value is not None:
            print_log(f'{key}.{name}: it has no effect, {path} says it already',
                      level=logging.WARNING)
    if package:
        network.setdefault('_scope_', package)
    if pretrained:
        network['init_cfg'] = dict(type='Pretrained', checkpoint=_weights(folder, path, key))
    return expand(network, key)


def find(cfg_path: Any, key: str) -> Tuple[str, str, str]:
    """Where ``'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'`` lies.

    Returns:
        The scope of its types, the package's folder, the path of the file.

    Raises:
        ConfigError: it is nowhere; with the nearest that there is.
    """
    if os.path.isfile(str(cfg_path)):
        return '', '', str(cfg_path)
    parts = str(cfg_path).split('::')
    if len(parts) != 2 or not all(parts):
        raise ConfigError(f"{key}={cfg_path!r}: must be 'PACKAGE::FOLDER/FILE.py', such as "
                          "'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', or a file")
    package, path = RENAMED.get(parts[0], parts[0]), parts[1]
    if package not in MODULE2PACKAGE:
        raise ConfigError(f'{key}: {nearest(package, sorted(MODULE2PACKAGE), shown=40)}')
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f'{key}: {cfg_path} is of {package}, which is not installed')
    folder = list(spec.submodule_search_locations)[0]
    # The second place is that of a checkout that was installed with pip -e.
    for configs in (os.path.join(folder, '.mim', 'configs'),
                    os.path.join(os.path.dirname(folder), 'configs')):
        file = os.path.join(configs, path)
        if os.path.isfile(file):
            return package, folder, file
        if os.path.isdir(configs):
            raise ConfigError(f'{key}: {package} has no config {path}{_near(configs, path)}')
    raise ConfigError(f'{key}: {package} is installed without its configs')


def _near(configs: str, path: str) -> str:
    there = [os.path.relpath(os.path.join(folder, name), configs).replace(os.sep, '/')
             for folder, _, names in os.walk(configs) for name in names if name.endswith('.py')]
    close = get_close_matches(path, there, n=1)
    return f', did you mean {close[0]}?' if close else ''


def _weights(folder: str, cfg_path: str, key: str) -> str:
    try:
        url = _get_cfg_metainfo(folder, cfg_path.split('::')[1]).get('Weights')
    except (ValueError, OSError, KeyError, IndexError):
        url = None
    if not url:
        raise ConfigError(f'{key}.pretrained: {cfg_path} has no published weights; set '
                          'pretrained=False, and name a checkpoint')
    return str(url)


def _published(model: Any) -> List[bool]:
    """For each teacher of an algorithm, whether it shall have its published weights."""
    teacher = model.get('teacher') if isinstance(model, dict) else None
    return [bool(one.get('cfg_path') and one.get('pretrained')) for one in listed(teacher)
            if isinstance(one, dict)] if isinstance(teacher, dict) else []


def _name_checkpoints(model: Any, published: List[bool]) -> None:
    """Weights of teachers are known by ``teacher_ckpt``, where a config names none."""
    weights = [one['init_cfg']['checkpoint'] if known else None
               for one, known in zip(listed(model['teacher']), published)]
    given = model.get('teacher_ckpt')
    if not several(model['teacher']):
        model['teacher_ckpt'] = given or weights[0]
    elif given is None:
        model['teacher_ckpt'] = weights
    elif isinstance(given, list) and len(given) == len(weights):
        model['teacher_ckpt'] = [one or other for one, other in zip(given, weights)]

"""Which ``data_preprocessor`` a network sees its images through: the one place that decides."""
from __future__ import annotations

import copy
from typing import Any, List, Optional

KEY = 'data_preprocessor'
# A classifier of MMPretrain adds its own mixing of images to every dict that it is given, and no
# other preprocessor has an argument for it.
_ANY_NETWORK_TAKES = 'ClsDataPreprocessor'
# MODELS.build of this one gives the network itself.
WRAPPER = 'mmrazor.WithPreprocessor'


def preprocessor_of(config: Any) -> Optional[Any]:
    """The config of the ``data_preprocessor`` of a pair: what the student sees its images through.

    The algorithm's own (``model.data_preprocessor``, where MMRazor's configs have it), else the
    student's own (``model.architecture.data_preprocessor``), else the one at the top of the config,
    which MMEngine's runner gives to a model that has none. ``None`` as a value says nothing.

    Args:
        config: of a training or a search.
    """
    model = config.get('model') or {}
    own = model.get(KEY)
    if own is None:
        own = _get(model.get('architecture'), KEY)
    return own if own is not None else config.get(KEY) or None


def settle(config: Any) -> None:
    """Write :func:`preprocessor_of` where MMEngine and MMRazor find it, in place.

    A config that says it in one place only, and in full, stays as it is.
    """
    model = config.get('model')
    student = _get(model, 'architecture')
    if not isinstance(student, dict):
        return
    own = preprocessor_of(config)
    if own is None or (own is model.get(KEY) and own.get('type')):
        return
    if own is not student.get(KEY):
        if own is not model.get(KEY) and own.get('type') and not _mixes(student, own):
            model[KEY] = copy.deepcopy(own)  # of the top: the runner does so, too
            return
        # Without a type it is for the network to say of what kind it is.
        student[KEY] = copy.deepcopy(own)
    if model.get(KEY) is not None or config.get(KEY):
        model[KEY] = None  # a key that is there is left alone by the runner


def student_alone(config: Any) -> Any:
    """The config of the student of a pair as a model of its own, with the images it was trained on
    in the distillation."""
    config = dict(model=copy.deepcopy(config['model']), **{KEY: config.get(KEY)})
    settle(config)
    own = config['model'].get(KEY)
    student = config['model']['architecture']
    if own is None:
        return student
    own = _in_scope(config['model'])
    # The algorithm's mixes no images, whatever the student's train_cfg asks for.
    return _wrapped(student, own) if _mixes(student, own) else alone(student, own)


def teachers_alone(config: Any) -> List[Any]:
    """The config of each teacher as a model of its own. One that says nothing of how its images are
    normalised sees the student's."""
    found = []
    for teacher in listed(config['model']['teacher']):
        teacher = copy.deepcopy(teacher)
        if not isinstance(teacher, dict) or 'cfg_path' in teacher or teacher.get(KEY) is not None:
            found.append(teacher)
            continue
        own = preprocessor_of(config)
        if own is not None and own is config['model'].get(KEY):
            own = _in_scope(config['model'])
        found.append(alone(teacher, own))
    return found


def alone(network: Any, preprocessor: Any) -> Any:
    """``network`` with another ``data_preprocessor``, as a config that any runner builds."""
    if _any_network_takes(preprocessor):
        network = copy.deepcopy(network)
        network[KEY] = copy.deepcopy(preprocessor)
        return network
    return _wrapped(network, preprocessor)


def as_one_dict(network: Any) -> Any:
    """A config of :func:`alone` as one dict of the network."""
    if network.get('type') != WRAPPER:
        return network
    return type(network)(network['network'], **{KEY: network[KEY]})


def listed(teacher: Any) -> List[Any]:
    """The configs in ``model.teacher``: one, or those of ``mmrazor.Teachers``."""
    return list(teacher['teachers']) if several(teacher) else [teacher]


def several(teacher: Any) -> bool:
    return str(_get(teacher, 'type')).split('.')[-1] == 'Teachers'


def _wrapped(network: Any, preprocessor: Any) -> Any:
    return type(network)(type=WRAPPER, network=copy.deepcopy(network),
                         **{KEY: copy.deepcopy(preprocessor)})


def _any_network_takes(preprocessor: Any) -> bool:
    kind = (preprocessor or {}).get('type') or _ANY_NETWORK_TAKES
    return getattr(kind, '__name__', str(kind)).split('.')[-1] == _ANY_NETWORK_TAKES


def _mixes(network: Any, preprocessor: Any) -> bool:
    """Whether the network adds its mixing of images to this preprocessor, which then has to be its
    own."""
    return bool(_get(_get(network, 'train_cfg'), 'augments')) and _any_network_takes(preprocessor)


def _in_scope(model: Any) -> Any:
    """The algorithm's ``data_preprocessor``, to be built as the algorithm builds it."""
    own = copy.deepcopy(model[KEY])
    if model.get('_scope_') and own.get('type'):
        own.setdefault('_scope_', model['_scope_'])
    return own


def _get(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None

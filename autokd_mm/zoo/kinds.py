"""Of what kind a network is, and which kinds nobody can distil here."""
from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple

from autokd_mm.datasets.annotations import BOXES, LABEL, SEGMENTATION
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.bare_teacher import BareTeacher

# Base class of a network -> the kind of its annotations.
_BASES = dict(BaseClassifier=LABEL, BaseDetector=BOXES, BaseSegmentor=SEGMENTATION)
# Part of the module of a network's class -> why it is refused.
_REFUSED = {
    '.selfsup': 'is self-supervised',
    '.multimodal': 'is conditioned on text',
    '.retrievers': 'retrieves images, and has no loss of labels',
    '.mot': 'tracks objects through videos',
    '.vis': 'segments videos',
    '.reid': 'tells persons apart for a tracker',
    '.depth': 'estimates depth',
}
_NAMED = dict(GLIP='is conditioned on text', GroundingDINO='is conditioned on text',
              DepthEstimator='estimates depth', SoftTeacher='trains on unlabelled images',
              SemiBaseDetector='trains on unlabelled images')
_PANOPTIC = 'is panoptic: neither boxes nor label maps alone are what it learns'
NO_TASK = ''
WORDS = {NO_TASK: 'a network without a head', LABEL: 'a classifier', BOXES: 'a detector',
         SEGMENTATION: 'a segmentor'}


def kind_of(network: Any, key: str) -> str:
    """``'label'``, ``'boxes'`` or ``'segmentation'``; :data:`NO_TASK` of a network without a head.

    Args:
        network: the built network.
        key: for messages, ``'TEACHER'``.

    Raises:
        ConfigError: it learns something else.
    """
    if isinstance(network, BareTeacher):
        return NO_TASK
    why = _why(network)
    if why:
        raise _refusal(key, type(network).__name__, why)
    for base in type(network).__mro__:
        if base.__name__ in _BASES:
            return _BASES[base.__name__]
    raise ConfigError(f'{key}: {type(network).__name__} is no classifier, detector or segmentor')


def refuse_config(model: Any, key: str) -> None:
    """What a network's config shows before anything is built, which may need packages.

    Raises:
        ConfigError: a network that learns no labels, boxes or label maps, or needs more than an
            image.
    """
    why = _why_of_config(model)
    if why:
        kind = model.get('type')
        raise _refusal(key, str(getattr(kind, '__name__', kind)), why)


def _refusal(key: str, name: str, why: str) -> ConfigError:
    return ConfigError(f'{key}: {name} {why}; classifiers, detectors and segmentors that see '
                       'images alone can be paired')


def _why(network: Any) -> Optional[str]:
    for base in type(network).__mro__:
        if base.__name__ in _NAMED:
            return _NAMED[base.__name__]
        for part, why in _REFUSED.items():
            if f'{part}.' in f'{base.__module__}.' and base.__module__.startswith('mm'):
                return why
    return None


def _why_of_config(config: Any) -> Optional[str]:
    for key, value in _items(config):
        if key == 'type' and 'Panoptic' in str(getattr(value, '__name__', value)):
            return _PANOPTIC
        if key == 'num_stuff_classes' and isinstance(value, int) and value > 0:
            return _PANOPTIC
        if key in ('language_model', 'text_encoder') and value:
            return 'is conditioned on text'
    return None


def _items(node: Any) -> Iterator[Tuple[str, Any]]:
    if isinstance(node, dict):
        yield from node.items()
        node = list(node.values())
    for item in node if isinstance(node, (list, tuple)) else ():
        yield from _items(item)


def refuse_data(config: Any, key: str) -> None:
    """Raises:
        ConfigError: a config that trains nothing, or whose pipeline loads what no bank holds.
    """
    if not config.get('train_dataloader') or not config.get('train_cfg'):
        raise ConfigError(f'{key}: its config trains nothing (no train_dataloader or train_cfg); '
                          'the student brings data and schedule')
    if not config.get('val_dataloader'):
        raise ConfigError(f'{key}: its config validates nothing (no val_dataloader); held-out '
                          'images go through the pipeline of validation')
    for name, value in _items(config['train_dataloader']):
        if name == 'type' and 'Panoptic' in str(getattr(value, '__name__', value)):
            raise ConfigError(f'{key}: its data ({value}) are panoptic, and no bank holds these')

"""The levels of the space for people who have not read its description."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from autokd_mm.space import Spec
from autokd_mm.space.layerwise_spec import LayerwiseSpec

# Level -> what it is called on a page, and what it asks.
LEVELS: Dict[str, Tuple[str, str]] = dict(
    transform=('transform', 'what is done to the feature maps before they are compared'),
    mask_ratio=('share that is masked', "of the student's positions"),
    connector=('connector', "makes the student's feature as wide as the teacher's"),
    region=('region', 'which part of the image counts'),
    background_weight=('weight of the background', 'where a box has 1'),
    intra=('within an image', 'whole map, patches or several scales'),
    patch_grid=('patches a side', ''),
    inter=('compared along', 'samples, channels or every value by itself'),
    distance=('distance', 'between the two features'),
    temperature=('temperature', 'of the distance between features'),
    feature_weight=('weight of the features', 'beside the task loss, which has 1'),
    feature_schedule=('schedule of that weight', 'in the course of the training'),
    logits=('logits', 'distance between the predictions'),
    logits_temperature=('temperature of the logits', 'higher: softer predictions'),
    logits_weight=('weight of the logits', 'beside the task loss, which has 1'),
    logits_schedule=('schedule of that weight', 'in the course of the training'))


# Options that do nothing; a transform that does nothing is worth saying.
_NOTHING = {'intra': 'none', 'inter': 'none', 'connector': 'identity'}


class Setting(NamedTuple):
    """A level of a distiller: its name, the option that was chosen, what it asks."""
    name: str
    option: str
    about: str


def recipe(spec: Spec) -> List[Tuple[str, List[Setting]]]:
    """The settings of a distiller, by part: one for each layer, and the logits."""
    if isinstance(spec, LayerwiseSpec):
        parts = [(name, branch) for name, branch in spec.layers if branch.has_feature]
        logits = spec.logits_branch
    else:
        parts = [('features', spec)] if spec.has_feature else []
        logits = spec
    found = [(name, [_setting(level, value) for level, value in branch.feature_branch.to_dict()
                     .items() if not level.startswith('logits')
                     and _NOTHING.get(level) != value]) for name, branch in parts]
    if spec.has_logits:
        found.append(('logits', [_setting(level, value) for level, value in
                                 logits.to_dict().items() if level.startswith('logits')]))
    return found


def name_of(level: str) -> str:
    """``feature_0/distance`` is of a layer."""
    layer, slash, own = level.rpartition('/')
    return f'{layer}{slash and ": "}{LEVELS.get(own, (own.replace("_", " "), ))[0]}'


def about(level: str) -> str:
    return LEVELS.get(level.rpartition('/')[2], ('', ''))[1]


def option_text(value: Any) -> str:
    """An option as it is read; ``repr`` of a word has quotes."""
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text.strip("'").replace('_', ' ')


def _setting(level: str, value: Any) -> Setting:
    return Setting(name_of(level), option_text(value), about(level))

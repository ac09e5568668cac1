"""Where the student starts, as options of the space.

    own         as initialised
    head        with the teacher's head
    neck_head   with the teacher's neck and head
    classifier  with the teacher's classifier

What is copied learns at ``start_lr`` times the learning rate; at 0 it is frozen.

Sources: Kang et al., "Instance-Conditional Knowledge Distillation for Object Detection" (ICD),
NeurIPS 2021, whose students inherit the teacher's neck and head, as those of FGD (Yang et al., CVPR
2022) and MGD (Yang et al., ECCV 2022) do; Chen et al., "Knowledge Distillation with the Reused
Teacher Classifier" (SimKD), CVPR 2022, whose classifier is the teacher's, frozen.
"""
from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from autokd_mm.errors import ConfigError, nearest

OWN = 'own'
HEAD, NECK_HEAD, CLASSIFIER = 'head', 'neck_head', 'classifier'
STARTS: Tuple[str, ...] = (OWN, HEAD, NECK_HEAD, CLASSIFIER)
START_LEVELS = ('start', 'start_lr')
_WORDS: Dict[str, str] = {HEAD: 'head', NECK_HEAD: 'neck and head', CLASSIFIER: 'classifier'}


def check_start(start: Any, key: str) -> None:
    """Refuse what is neither a start nor ``None``.

    Args:
        key: of the config, for the message.

    Raises:
        ConfigError: names the nearest that there is.
    """
    if start is not None and start not in STARTS:
        raise ConfigError(f'{key}: {nearest(start, STARTS)}')


def in_words(start: Optional[str], rate: Optional[float]) -> str:
    """``"the teacher's neck and head (learning rate x0.1)"``; nothing where nothing is copied."""
    if start in (None, OWN):
        return ''
    found = f"the teacher's {_WORDS.get(str(start), start)}"
    if rate in (None, 1):
        return found
    return found + (f' (learning rate x{rate:g})' if rate else ' (frozen)')

"""The metric by which a training is judged: what is kept as its best checkpoint, and a gain."""
from __future__ import annotations

from typing import Any, Mapping, Optional

RULE = 'greater'  # of all that are known here
_COCO = 'CocoMetric'


def main_metric(evaluator: Any, own: Optional[str] = None) -> Optional[str]:
    """The name under which MMEngine reports the main metric; of all of them more is better.

    Args:
        evaluator: ``val_evaluator`` of a config, one metric or a list of them.
        own: the value of it that a search was asked for (``train_cfg.metric``).

    Returns:
        Such as ``'accuracy/top1'``, ``'coco/bbox_mAP'`` or ``'mIoU'``; ``None`` where nobody knows
        what the first metric calls its values.
    """
    if not evaluator:
        return None
    metrics = [evaluator] if isinstance(evaluator, Mapping) else list(evaluator)
    first, kind = metrics[0], _kind(metrics[0])
    # COCO's says nothing of a detector that finds nothing. Alone, MMEngine then keeps no best
    # checkpoint in that round; beside others, it would stop at the name that is missing.
    if len(metrics) > 1 and _COCO in map(_kind, metrics):
        return None
    if own:
        return own
    name = _NAMES[kind](first) if kind in _NAMES else None
    if not name:
        return None
    prefix = first.get('prefix') or _PREFIXES.get(kind)
    return f'{prefix}/{name}' if prefix else name


def _kind(metric: Mapping[str, Any]) -> str:
    return str(getattr(metric.get('type'), '__name__', metric.get('type'))).split('.')[-1]


def _accuracy(config: Mapping[str, Any]) -> Optional[str]:
    thresholds = config.get('thrs', 0.)
    if isinstance(thresholds, (list, tuple)) and len(thresholds) > 1:
        return None  # one value for each
    ranks = config.get('topk', (1, ))
    return f'top{ranks if isinstance(ranks, int) else min(ranks)}'


def _coco(config: Mapping[str, Any]) -> Optional[str]:
    kind = _first(config.get('metric', 'bbox'))
    known = kind in ('bbox', 'segm') and not config.get('metric_items')
    return f'{kind}_mAP' if known and not config.get('format_only') else None


def _segmentation(config: Mapping[str, Any]) -> Optional[str]:
    return None if config.get('format_only') else _first(config.get('iou_metrics', 'mIoU'))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


_NAMES = {'Accuracy': _accuracy, _COCO: _coco, 'IoUMetric': _segmentation,
          'VOCMetric': lambda config: _first(config.get('metric', 'mAP'))}
_PREFIXES = {'Accuracy': 'accuracy', _COCO: 'coco', 'VOCMetric': 'pascal_voc'}

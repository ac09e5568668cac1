"""What a study remembers of its task, so that another task's search does not go on with it."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from autokd_mm.measure.dense_metrics import in_windows
from autokd_mm.proxy.schedule import factor
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.space import Shapes, Space


def describe(space: Space, layer_names: Mapping[str, Any], proxy: ProxySettings, config: Any,
             curve: Sequence[float]) -> Dict[str, Any]:
    """JSON values that tell one task from another.

    They are stored in studies: a key that changes here ends every search that was begun before.

    Args:
        layer_names: as the config names them.
        config: of the runner, with the student and its optimiser.
        curve: learning-rate factors of the full training; 16 of them are kept.
    """
    shapes = space.shapes
    own = config.model.get('data_preprocessor')  # of the algorithm, see autokd_mm.pairs
    differs = own and own != config.get('data_preprocessor')
    more = dict(images=repr(own.to_dict())) if differs else {}
    # Without logits it was right before.
    if _is_measured_anew(config.model.architecture, layer_names.get('student_logits')):
        more['metric'] = 'mIoU as in a test'
    return dict(space={level: list(options) for level, options in space.levels()},
                shapes=_plain(shapes) if isinstance(shapes, Shapes) else
                {name: _plain(one) for name, one in shapes.items()},
                layers=layer_names,
                proxy=proxy.to_dict(),
                student=repr(config.model.architecture.to_dict()),
                optim_wrapper=repr(config.optim_wrapper.to_dict()),
                learning_rate=[round(factor(curve, i, 16), 9) for i in range(16)], **more)


def _is_measured_anew(segmentor: Mapping[str, Any], logits: Any) -> bool:
    """Whether its mean IoU was another number until 2026-12-01."""
    first = str(logits[0] if isinstance(logits, (list, tuple)) and logits else logits or '')
    if not first:
        return False
    heads = segmentor.get('decode_head')
    if isinstance(heads, list) and first.startswith('decode_head.') \
            and not first.startswith(f'decode_head.{len(heads) - 1}.') \
            or 'kernel_generate_head' in first:
        return True  # an earlier head's
    head = heads[-1] if isinstance(heads, list) and heads else heads
    return in_windows(segmentor.get('test_cfg')) \
        or isinstance(head, Mapping) and bool(head.get('align_corners'))


def _plain(shapes: Shapes) -> Dict[str, Any]:
    values = dict(vars(shapes))
    for name in ('logits_positions', 'predictions', 'starts', 'feature_teachers',
                 'logits_teachers'):
        if values[name] is None:  # as in studies from before there were any
            del values[name]
    return values

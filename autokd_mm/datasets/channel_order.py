"""In which order the channels of a pair's images come, where the teacher must know it."""
from __future__ import annotations

from typing import Any, Callable

from mmengine.logging import print_log

from autokd_mm.datasets.pipelines import has_pipeline, pipeline_of
from autokd_mm.pairs.images import KEY, listed, preprocessor_of, several

_FLIPS = ('to_rgb', 'bgr_to_rgb', 'rgb_to_bgr')


def settle_order(config: Any, say: Callable[[str], None] = print_log) -> None:
    """Write ``model.teacher_input.order='rgb'`` where no step of the pipeline reads files and the
    student takes images as they come, as is usual for CIFAR; in place.

    Files are read as BGR, which a preprocessor with ``to_rgb`` flips. Images that come as RGB look
    the same to a student without it, and a teacher with it must not get them flipped.

    Args:
        say: told so in a line.
    """
    model, dataset = config['model'], (config.get('train_dataloader') or {}).get('dataset')
    teacher = model.get('teacher') if isinstance(model, dict) else None
    if not isinstance(teacher, dict) or not isinstance(dataset, dict) or not has_pipeline(dataset):
        return
    if any('LoadImage' in str(step.get('type')) for step in pipeline_of(dataset)):
        return
    own = preprocessor_of(config) or {}
    teachers = [one.get(KEY) or {} for one in listed(teacher) if isinstance(one, dict)]
    if _flips(own) or not any(map(_flips, teachers)):
        return
    given = model.get('teacher_input')
    views = list(given) if isinstance(given, (list, tuple)) else [given]
    if any(view is not None and (not isinstance(view, dict) or 'order' in view) for view in views):
        return
    views = [dict(view or {}, order='rgb') for view in views]
    model['teacher_input'] = views if several(teacher) and len(views) > 1 else views[0]
    say("model.teacher_input.order='rgb': the pipeline reads no files, so images are taken to come "
        "as RGB, as the student sees them; set it to 'bgr' where the data set gives BGR")


def _flips(preprocessor: Any) -> bool:
    return any(preprocessor.get(key) for key in _FLIPS)

"""What an experience recommends for a search config, as configs of full trainings."""
from __future__ import annotations

import os
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from mmengine.runner import Runner

from autokd_mm.errors import ConfigError
from autokd_mm.experience import TaskStatistics, load_tasks, recommend
from autokd_mm.report import export
from autokd_mm.report.found import found_config
from autokd_mm.space import DistillerSpace
from autokd_mm.space.spec import UNNAMED

_HEAD = 'Distiller recommended by autokd_mm from experience; no trial was run.'
_NO_WEIGHTS = ('teacher_ckpt: the config names no weights of the teacher, and neither do these; '
               'train one and give it to tools/train.py with --cfg-options teacher_ckpt=FILE')


def recommended(config: Any, experience: Optional[str], count: int) -> Iterator[str]:
    """Write ``recommended_1.py`` and on into the work dir of a search config.

    Args:
        config: of the search; its networks are run once.
        experience: file, or ``'default'``; None: the config's ``sampler.experience``, or that of
            the package where it has none.
        count: how many.

    Yields:
        Lines that say what was written, and what is expected.

    Raises:
        ConfigError: every mistake of the config, or layers with options of their own.
    """
    sampler = config.train_cfg.get('sampler')
    own = sampler.get('experience') if isinstance(sampler, Mapping) else None
    given = experience or own or 'default'
    key = '--experience' if experience else 'sampler.experience'
    left_out: List[str] = []
    tasks = load_tasks(given, left_out.append, key)
    if not tasks:
        raise ConfigError(f'{key}.without: leaves no task to recommend from')
    yield from left_out
    config, teacher_ckpt = config.copy(), config.model.get('teacher_ckpt')
    config.model.teacher_ckpt = _at_hand(config.model.get('teacher_ckpt'))
    loop = Runner.from_cfg(config).build_train_loop(config.train_cfg)
    task = loop.look()
    if not isinstance(task.space, DistillerSpace):
        raise ConfigError('train_cfg.layers.shared=False: no experience knows layers with options '
                          'of their own')
    proxy, names = loop.settings.proxy, sorted({one.name for one in tasks})
    yield (f'experience of {", ".join(names)}; expected reward (the gain over no distillation on '
           'the proxy) ± standard deviation')
    space, unknown = _known(task.space, tasks, key)
    if unknown:
        yield f'without {", ".join(unknown)}, of which it has no experience'
    if teacher_ckpt is None:
        yield _NO_WEIGHTS
    for place, one in enumerate(recommend(tasks, space, proxy.samples, count), 1):
        path = os.path.join(config.work_dir, f'recommended_{place}.py')
        words = f'{one.spec.in_words()}: {one.gain:+.3f} ± {one.deviation:.3f}' + (
            f'; unknown: {", ".join(one.unknown)}' if one.unknown else '')
        ready = found_config(loop.runner.cfg, one.spec, task.layers, task.parts, loop.full[1],
                             teacher_ckpt, config.get('load_from'))
        os.makedirs(config.work_dir, exist_ok=True)
        export.write_best(path, ready, [_HEAD, f'  {words}',
                                        f'  experience of {", ".join(names)}', ''])
        yield f'{path}: {words}'


def _at_hand(checkpoint: Any) -> Any:
    """Without weights that would be downloaded: what a teacher has learnt is not asked."""
    if isinstance(checkpoint, (list, tuple)):
        return [_at_hand(one) for one in checkpoint]
    return None if '://' in str(checkpoint) else checkpoint


def _known(space: DistillerSpace, tasks: Sequence[TaskStatistics],
           key: str) -> Tuple[DistillerSpace, List[str]]:
    """The part of the space that the tasks know something of, and which levels were left out: their
    options would all be worth the same, and the first distillers one, with each of them.

    Args:
        key: of the config, for the message.

    Raises:
        ConfigError: there is no such part.
    """
    levels = {level for task in tasks for level, _ in task.options}
    usual = {level: (option, ) for level, option in UNNAMED.items()
             if level not in levels and option in space.options[level]}
    left = DistillerSpace(dict(space.options, **usual), space.shapes)
    without = [level for level, _ in space.levels() if level in usual]
    try:
        next(left.enumerate())
    except ConfigError:
        raise ConfigError(f'{key}: it knows nothing of {", ".join(without)}, and without them this '
                          'space distils nothing; tools/search.py tries them') from None
    return left, without

"""Where a training goes on that was interrupted, and whether it is the same one."""
from __future__ import annotations

import json
import logging
import os
import zipfile
from glob import escape, glob
from typing import Any, Optional

from mmengine.logging import print_log

from autokd_mm.differing import differing
from autokd_mm.errors import ConfigError
from autokd_mm.whole_file import whole_file

TRAINED = 'training.json'  # what the training in a work dir trains
# Where weights came from does not say what is trained, and files move.
_SOURCES = ('teacher_ckpt', 'init_cfg', 'pretrained', 'bank')
_LAST = 'last_checkpoint'  # MMEngine's note: the path of the checkpoint that was written last


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint that a training has written last; ``None`` where it has written none.

    MMEngine notes a path, which leads nowhere once the folder has been moved, or from another
    current folder, and to the training's own folder from a copy of it; a writer that is killed may
    leave the note empty, and a machine that goes down the checkpoint torn: the one before it is
    taken then.
    """
    try:
        with open(os.path.join(work_dir, _LAST), encoding='utf-8', errors='replace') as file:
            noted = file.read().strip()
    except OSError:
        return None
    found = [path for path in (os.path.join(work_dir, os.path.basename(noted)), noted)
             if os.path.isfile(path)]
    if not found and '://' in noted:  # on another storage
        return noted
    kept = [path for kind in ('epoch_*.pth', 'iter_*.pth')
            for path in glob(os.path.join(escape(work_dir), kind))]
    found += sorted(kept, key=os.path.getmtime, reverse=True)
    whole = next((path for path in found if zipfile.is_zipfile(path)), None)
    if whole and whole != found[0]:
        print_log(f'--resume: {found[0]} is torn; {whole} is the last one that is whole',
                  'current', logging.WARNING)
    return whole or next(iter(found), None)


def remember_training(config: Any) -> None:
    """Write into the work dir of a training that begins what it trains."""
    with whole_file(os.path.join(config.work_dir, TRAINED), 'w', encoding='utf-8') as file:
        json.dump(_trained(config), file, indent=1, sort_keys=True)


def refuse_another_training(config: Any) -> None:
    """Every search writes its distiller into a file of the same name, and the usual work dir is
    called after that: the checkpoints there may be of another distillation.

    Raises:
        ConfigError: the training in the work dir trains something else, and what differs.
    """
    try:
        with open(os.path.join(config.work_dir, TRAINED), encoding='utf-8') as file:
            found = json.load(file)
    except (OSError, ValueError):  # of an earlier version, or torn
        return
    differs = differing(found, _trained(config)) if isinstance(found, dict) else []
    if differs:
        raise ConfigError(f'--work-dir: {config.work_dir} holds the training of another config '
                          f'({"; ".join(differs[:3])}{" ..." if len(differs) > 3 else ""}); name '
                          'another --work-dir, or go on from it with --resume FILE')


def _trained(config: Any) -> Any:
    return json.loads(json.dumps(dict(model=_without_sources(config.model)), default=_named))


def _named(value: Any) -> str:
    """The same in every process: a function's ``repr`` has its address in memory."""
    kind = value if hasattr(value, '__qualname__') else type(value)
    return f'{kind.__module__}.{kind.__qualname__}'


def _without_sources(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_sources(item) for key, item in value.items()
                if key not in _SOURCES}
    return [_without_sources(item) for item in value] if isinstance(value, (list, tuple)) else value

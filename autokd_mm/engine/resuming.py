"""Where a training goes on that was interrupted."""
from __future__ import annotations

import logging
import os
import zipfile
from glob import escape, glob
from typing import Optional

from mmengine.logging import print_log

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
